"""VQA-RAD: clinicians' questions about radiology pictures (Lau et al., 2018, sdata.2018.251).

    <raw>/VQA_RAD Dataset Public.json
    <raw>/VQA_RAD Image Folder/synpic100132.jpg

The file is a list of `{"qid", "phrase_type", "image_name", "image_organ", "question",
"question_type", "answer", "answer_type", ...}`; the test split is what has a `phrase_type` that
begins with "test". Or a hub folder with the splits train and test and the columns image, question
and answer, which has no fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedvlm_flwr.data.hub_rows import HubPictures, hub_rows, is_hub
from fedvlm_flwr.data.sources.base import Item, key_of, read_json, text_of
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.settings import setting

QUESTIONS = "VQA_RAD Dataset Public.json"
PICTURES = "VQA_RAD Image Folder"
SPLITS = ("train", "test")
FIELDS = {  # ours: VQA-RAD's key
    "organ": "image_organ",
    "question_type": "question_type",
    "answer_type": "answer_type",
}


@dataclass(frozen=True)
class Params:
    """Which questions are taken."""

    train_splits: list[str] = field(metadata=setting(choices=SPLITS))
    """VQA-RAD's own splits (train, test) whose questions are training records."""
    test_splits: list[str] = field(metadata=setting(choices=SPLITS))
    """Those that are test records."""


def read(raw: Path, params: Params) -> Iterator[Item]:
    """The questions; a numeric answer is written as text.

    Raises:
        DataError: the file is missing or is no JSON list, a record lacks a key, or the hub folder
            lacks a column or a split.
    """
    mirror = not (raw / QUESTIONS).exists() and is_hub(raw)
    pictures = HubPictures(raw) if mirror else None
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            if pictures is None:
                yield from _items(raw, split, name)
            else:
                yield from _hub_items(pictures, split, name)


def _items(raw: Path, split: str, name: str) -> Iterator[Item]:
    path = raw / QUESTIONS
    records = read_json(path, "the questions of VQA-RAD")
    if not isinstance(records, list):
        raise DataError(f"{path} holds no list of questions; download VQA-RAD again.")
    for i, record in enumerate(records):
        where = f"Record {i} of {path}"
        tested = str(key_of(record, "phrase_type", where)).startswith("test")
        if tested != (name == "test"):
            continue
        image = str(key_of(record, "image_name", where))
        yield Item(
            id=str(key_of(record, "qid", where)),
            split=split,
            task="vqa",
            picture=raw / PICTURES / image,
            image=f"vqa_rad/{image}",
            question=text_of(key_of(record, "question", where)),
            answer=text_of(key_of(record, "answer", where)),
            fields={ours: text_of(key_of(record, key, where)) for ours, key in FIELDS.items()},
        )


def _hub_items(pictures: HubPictures, split: str, name: str) -> Iterator[Item]:
    raw = pictures.folder
    for _, number, row in hub_rows(raw, ["image", "question", "answer"], [name]):
        picture, image = pictures.take(row["image"], f"Row {number} of the split {name} in {raw}")
        yield Item(
            id=f"{name}-{number}",
            split=split,
            task="vqa",
            picture=picture,
            image=f"vqa_rad/{image}",
            question=text_of(row["question"]),
            answer=text_of(row["answer"]),
        )
