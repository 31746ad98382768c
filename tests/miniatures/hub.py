"""Hugging Face mirrors in miniature: parquet files with pictures in them, and a saved dataset."""

import io
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pictures

from tests.miniatures import slake, vqa_rad

FEATURES = {"image": Image(), "question": Value("string"), "answer": Value("string")}


def picture(number: int, kind: str = "JPEG") -> bytes:
    """An encoded picture of one colour."""
    file = io.BytesIO()
    Pictures.new("RGB", (24, 20), (number * 37 % 251, 80, 120)).save(file, kind)
    return file.getvalue()


def table(rows: list[dict[str, Any]], **more: Any) -> Dataset:
    """Rows with a picture each, given as its bytes."""
    columns = {name: [row[name] for row in rows] for name in (*FEATURES, *more)}
    columns["image"] = [{"bytes": data, "path": None} for data in columns["image"]]
    return Dataset.from_dict(columns, features=Features({**FEATURES, **more}))


def vqa_rad_tables() -> dict[str, Dataset]:
    """By split; answers in small letters, as in the mirror."""
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for phrase_type, number, _, _, question, answer, _ in vqa_rad.ROWS:
        split = "test" if phrase_type.startswith("test") else "train"
        told = {"question": question.strip().lower(), "answer": str(answer).strip().lower()}
        rows[split].append({"image": picture(number), **told})
    return {split: table(found) for split, found in rows.items()}


def build_vqa_rad(folder: Path) -> None:
    """Parquet files as in the mirror flaviagiammarino/vqa-rad."""
    for split, hashed in (("train", "eb8844602202be60"), ("test", "e5bc3d208bb4deeb")):
        path = folder / "data" / f"{split}-00000-of-00001-{hashed}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        vqa_rad_tables()[split].to_parquet(path)


def build_saved_vqa_rad(folder: Path) -> None:
    """The same rows, written by `save_to_disk`."""
    DatasetDict(vqa_rad_tables()).save_to_disk(folder)


def build_slake(folder: Path, *, languages: bool) -> None:
    """Parquet files as in an English-only mirror; with `languages`, with SLAKE's other columns."""
    other = ("q_lang", "location", "modality") if languages else ()
    for split, found in slake.ROWS.items():
        records = [slake.record(row, qid) for qid, row in enumerate(found)]
        kept = [record for record in records if languages or record["q_lang"] == "en"]
        rows = [{**record, "image": picture(record["img_id"])} for record in kept]
        name = "validation" if split == "validate" else split
        path = folder / "data" / f"{name}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table(rows, **{column: Value("string") for column in other}).to_parquet(path)
