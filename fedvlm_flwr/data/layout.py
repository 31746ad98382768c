r"""The published layout of FedVLMBench: which file holds what.

    <root>/clients/train/client_<i>.json, clients/test/client_<i>.json    a list of records each
    <root>/central_training/train/*.json, central_training/test/*.json    (or train.json, test.json)
    <root>/image/...

A record is `{"image": "<relative path>", "conversations": [{"from": "human", "value":
"<image>\n..."}, {"from": "gpt", "value": "..."}]}` with any fields beside; `id` and `task` may be
missing, and ScienceQA's records may hold `conversations_caption` and `conversations_vqa` instead.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedvlm_flwr.data.foreign import parse_json, text_of
from fedvlm_flwr.errors import DataError

TRAIN, TEST = "train", "test"
IMAGES = "image"
IMAGE_FOLDERS = ("", IMAGES, "images")  # what a record's picture may be relative to
VARIANTS = {"conversations_caption": "captioning", "conversations_vqa": "vqa"}

Raw = dict[str, Any]


def client_files(root: Path, split: str) -> dict[int, Path]:
    """The file of each client, by its number."""
    files = {}
    for path in (root / "clients" / split).glob("*.json"):
        number = re.fullmatch(r"client_([0-9]+)", path.stem)
        if number is None:
            raise DataError(f"{path} is no client's file; name it client_<number>.json.")
        files[int(number[1])] = path
    return dict(sorted(files.items()))


def central_files(root: Path, split: str) -> list[Path]:
    """The files of the pooled records, sorted."""
    folder = root / "central_training"
    return sorted([*folder.glob(f"{split}.json"), *(folder / split).glob("*.json")])


def read_records(path: Path) -> Iterator[Raw]:
    """The records of a file, those with two conversations as two.

    Raises:
        DataError: the file is no JSON list of objects, or a record has no conversation at all.
    """
    try:
        records = parse_json(text_of(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); restore it.") from error
    if not isinstance(records, list):
        raise DataError(f"{path} holds no list of records; see docs/datasets.md for the layout.")
    for i, record in enumerate(records):
        if not isinstance(record, dict):
            raise DataError(f"Record {i} of {path} is {record!r:.60}; a record is an object.")
        yield from _split_variants(record, i, path)


def _split_variants(record: Raw, number: int, path: Path) -> Iterator[Raw]:
    variants = [key for key in VARIANTS if key in record]
    if "conversations" in record:
        yield record
    elif variants:
        plain = {key: value for key, value in record.items() if key not in VARIANTS}
        for key in variants:
            task = VARIANTS[key]
            name = {"id": f"{record['id']}-{task}"} if "id" in record else {}
            yield {**plain, **name, "conversations": record[key], "task": task}
    else:
        raise DataError(
            f"Record {number} of {path} has no 'conversations' (it has: {', '.join(record)}); "
            "add them or remove the record."
        )


def picture_path(root: Path, image: str) -> str:
    """Where a record's picture is, relative to the root; as it says, where it is nowhere."""
    for folder in IMAGE_FOLDERS:
        place = f"{folder}/{image}" if folder else image
        if os.path.isfile(root / place):  # noqa: PTH113  # Path.is_file raises on impossible names
            return place
    return image
