"""Folders of three hospitals for a trial: easyvqa's pictures in three forms of `dataset=folder`."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from easy_vqa import get_train_image_paths, get_train_questions

PICTURES = 24  # of a site
Record = tuple[Path, str, str]  # picture, question, answer
SITES = ("north", "south", "west")

# What a run has to be told of such folders, and that the sites score it.
WORDS = ("dataset=folder", "dataset.task=vqa", "dataset.test_fraction=0.25", "eval.where=sites")


def write_sites(root: Path, pictures: int = PICTURES) -> dict[str, Path]:
    """Write a folder for each site, with pictures that no other has; the folders by name."""
    folders = {name: root / name for name in SITES}
    for number, (name, folder) in enumerate(folders.items()):
        folder.mkdir(parents=True, exist_ok=True)
        FORMS[name](folder, _records(range(number * pictures, (number + 1) * pictures)))
    return folders


def _records(numbers: Sequence[int]) -> list[Record]:
    paths: Mapping[int, str] = get_train_image_paths()
    wanted = {number: Path(paths[number]) for number in numbers}
    rows = zip(*get_train_questions(), strict=True)
    return [
        (wanted[image], question, answer) for question, answer, image in rows if image in wanted
    ]


def write_table(folder: Path, records: Sequence[Record]) -> None:
    """A table as a spreadsheet saves it, beside a folder of pictures."""
    (folder / "images").mkdir()
    with (folder / "questions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["image", "question", "answer"])
        for picture, question, answer in records:
            shutil.copy(picture, folder / "images" / picture.name)
            writer.writerow([picture.name, question, answer])


def write_conversations(folder: Path, records: Sequence[Record]) -> None:
    """One JSON list of conversations, the form of LLaVA's own training data."""
    entries = []
    for number, (picture, question, answer) in enumerate(records):
        shutil.copy(picture, folder / picture.name)
        turns = [
            {"from": "human", "value": f"<image>\n{question}"},
            {"from": "gpt", "value": answer},
        ]
        entries.append({"id": str(number), "image": picture.name, "conversations": turns})
    (folder / "data.json").write_text(json.dumps(entries), encoding="utf-8")


def write_parquet(folder: Path, records: Sequence[Record]) -> None:
    """One Parquet file with the pictures inside, the form of the Hugging Face hub."""
    pictures = [{"bytes": p.read_bytes(), "path": p.name} for p, _, _ in records]
    columns = {
        "image": pa.array(pictures),
        "question": [question for _, question, _ in records],
        "answer": [answer for _, _, answer in records],
    }
    pq.write_table(pa.table(columns), folder / "data.parquet")


FORMS: dict[str, Callable[[Path, Sequence[Record]], None]] = {
    "north": write_table,
    "south": write_conversations,
    "west": write_parquet,
}
