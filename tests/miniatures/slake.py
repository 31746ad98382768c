"""SLAKE in miniature: English and Chinese questions on nine pictures of three organs and more."""

# ruff: noqa: RUF001  # Chinese signs are meant

import json
from pathlib import Path
from typing import Any

from PIL import Image

# picture, location, modality, answer type, content type, question, answer; English unless marked
ROWS: dict[str, list[tuple[int, str, str, str, str, str, str]]] = {
    "train": [
        (
            1,
            "Abdomen",
            "MRI",
            "OPEN",
            "Modality",
            "What modality is used to take this image?",
            "MRI",
        ),
        (1, "Abdomen", "MRI", "CLOSED", "Organ", "Does the picture contain liver?", "Yes"),
        (1, "Abdomen", "MRI", "OPEN", "Organ", "图片中包含的器官有哪些？", "肝脏，肾脏"),
        (2, "Lung", "X-Ray", "CLOSED", "Abnormality", "Is the lung healthy?", "No"),
        (2, "Lung", "X-Ray", "OPEN", "Position", "Where is the cardiomegaly?", "Center"),
        (2, "Lung", "X-Ray", "CLOSED", "Abnormality", "肺部健康吗？", "否"),
        (3, "Brain", "CT", "OPEN", "Quantity", "How many eyes are there? ", "2"),
        (3, "Brain", "CT", "OPEN", "KG", "What is the function of the brain?", "Thinking, memory"),
        (4, "Lung", "CT", "OPEN", "Organ", "Which organ is on the left?", "Right lung (≈ 2/3)"),
    ],
    "validate": [
        (5, "Neck", "CT", "CLOSED", "Plane", "Is this a transverse plane?", "Yes"),
        (6, "Abdomen", "CT", "OPEN", "Size", "Which is larger, liver or spleen?", "Liver"),
        (6, "Abdomen", "CT", "OPEN", "Size", "肝脏和脾脏哪个大？", "肝脏"),
    ],
    "test": [
        (7, "Lung", "X-Ray", "CLOSED", "Organ", "Does the picture contain lung?", "Yes"),
        (8, "Abdomen", "MRI", "OPEN", "Color", "What color is the liver?", "Gray"),
        (9, "Brain", "MRI", "OPEN", "Modality", "What modality is shown?", "MRI"),
        (9, "Brain", "MRI", "OPEN", "Modality", "图像的模态是什么？", "核磁共振"),
    ],
}


def build(folder: Path) -> None:
    """Write `train|validate|test.json` and `imgs/xmlab<n>/source.jpg`."""
    qid = 0
    for split, rows in ROWS.items():
        records = []
        for row in rows:
            records.append(record(row, qid))
            qid += 1
            path = folder / "imgs" / f"xmlab{row[0]}" / "source.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 32), (20 * row[0], 90, 200 - 20 * row[0])).save(path)
        text = json.dumps(records, ensure_ascii=False, indent=4)
        (folder / f"{split}.json").write_text(text, encoding="utf-8")


def record(row: tuple[int, str, str, str, str, str, str], qid: int) -> dict[str, Any]:
    """A record as SLAKE writes it."""
    picture, location, modality, answer_type, content_type, question, answer = row
    knows = content_type == "KG"
    return {
        "img_id": picture,
        "img_name": f"xmlab{picture}/source.jpg",
        "question": question,
        "answer": answer,
        "q_lang": "en" if question.isascii() else "zh",
        "location": location,
        "modality": modality,
        "answer_type": answer_type,
        "base_type": "kvqa" if knows else "vqa",
        "content_type": content_type,
        "triple": ["Brain", "Function", "_"] if knows else ["vhead", "_", "_"],
        "qid": qid,
    }
