"""VQA-RAD in miniature: thirteen questions on seven pictures, one of them in both splits."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

# phrase type, picture, organ, question type, question, answer, answer type; blanks as published
ROWS: list[tuple[str, int, str, str, str, Any, str]] = [
    ("freeform", 54610, "HEAD", "PRES", "Are regions of the brain infarcted?", "Yes", "CLOSED"),
    ("para", 54610, "HEAD", "PRES", "Is there evidence of infarcts?\t", "Yes", "CLOSED "),
    ("freeform", 29265, "CHEST", "PRES, POS", "Are the lungs normal appearing?", "No", "CLOSED"),
    ("freeform", 29265, "CHEST", "COUNT", "How many ribs are fractured?", 2, "OPEN"),
    ("para", 29265, "CHEST", "SIZE", "How wide is the heart in cm?", 12.5, "OPEN"),
    ("freeform", 31400, "ABD", "ORGAN", "What organ system is this?", "gastrointestinal ", "OPEN"),
    ("freeform", 31400, "ABD", "MODALITY", "Is this a CT?", "yes", "CLOSED"),
    (
        "para",
        42202,
        "ABD",
        "ATTRIB",
        "How would you describe the cyst?",
        "thin-walled, 4 cm²",
        "OPEN",
    ),
    ("freeform", 42202, "ABD", "PLANE", "In what plane is this?", "axial", "OPEN"),
    ("test_freeform", 29265, "CHEST", "ABN", "Is there an effusion?", "No", "CLOSED"),
    (
        "test_para",
        20260,
        "HEAD",
        "MODALITY",
        "How was this image taken?",
        "T2-weighted MRI",
        "OPEN",
    ),
    ("test_freeform", 16407, "ABD", "PRES", "Is the colon enlarged?", "no", "CLOSED "),
    ("test_para", 52732, "CHEST", "POS", "Where is the nodule?", "right upper lobe", "OPEN"),
]


def build(folder: Path) -> None:
    """Write `VQA_RAD Dataset Public.json` and `VQA_RAD Image Folder/synpic<n>.jpg`."""
    pictures = folder / "VQA_RAD Image Folder"
    pictures.mkdir(parents=True)
    for number in sorted({row[1] for row in ROWS}):
        Image.new("L", (36, 36), number % 251).save(pictures / f"synpic{number}.jpg")
    records = [record(row, qid) for qid, row in enumerate(ROWS, 1)]
    text = json.dumps(records, ensure_ascii=False)
    (folder / "VQA_RAD Dataset Public.json").write_text(text, encoding="utf-8")


def record(row: tuple[str, int, str, str, str, Any, str], qid: int) -> dict[str, Any]:
    """A record as VQA-RAD writes it."""
    phrase_type, picture, organ, question_type, question, answer, answer_type = row
    return {
        "qid": str(qid),
        "phrase_type": phrase_type,
        "qid_linked_id": f"03f451ca-de62-4617-9679-{qid:012d}",
        "image_case_url": f"https://medpix.nlm.nih.gov/case?id=48e1dd0e-8552-46ad-a354-{qid:012d}",
        "image_name": f"synpic{picture}.jpg",
        "image_organ": organ,
        "evaluation": "not evaluated",
        "question": question,
        "question_rephrase": "NULL",
        "question_relation": "NULL",
        "question_frame": "NULL",
        "question_type": question_type,
        "answer": answer,
        "answer_type": answer_type,
    }
