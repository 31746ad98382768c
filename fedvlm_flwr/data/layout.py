r"""The published layout of FedVLMBench: which file holds what.

    <root>/clients/train/client_<i>.json                                  a list of records each
    <root>/clients/test/client_<i>.json, or test.json, or a file a task (vqa_test.json, ...)
    <root>/clients/<variant>/train, clients/<variant>/test                where there are several
    <root>/central_training/train/*.json, central_training/test/*.json    (or train.json, test.json)
    <root>/image/...

Beside files of tasks, test.json (train.json) holds their records once more and is left aside.

A record is `{"image": "<relative path>", "conversations": [{"from": "human", "value":
"<image>\n..."}, {"from": "gpt", "value": "..."}]}` with any fields beside; `id` and `task` may be
missing, and ScienceQA's records may hold `conversations_caption` and `conversations_vqa` instead.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvlm_flwr.data.foreign import parse_json, text_of
from fedvlm_flwr.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
IMAGES = "image"
IMAGE_FOLDERS = ("", IMAGES, "images")  # what a record's picture may be relative to
VARIANTS = {"conversations_caption": "captioning", "conversations_vqa": "vqa"}

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one split.

    Attributes:
        clients: by the client's number.
        pooled: those of no client, which hold all records once.
        aside: those that hold them once more.
    """

    clients: Mapping[int, Path]
    pooled: Sequence[Path]
    aside: Sequence[Path]

    @property
    def all(self) -> list[Path]:
        """Those that are read."""
        return [*self.clients.values(), *self.pooled]


def files_of(root: Path, variant: str | None, split: str) -> Files:
    """The files of a split; pooled ones are those of `central_training`, else of `clients`.

    Args:
        variant: which of several assignments to clients; None: there is one.

    Raises:
        DataError: there are several assignments and none is chosen, or not the chosen one; a
            client's file has another name.
    """
    clients, others = {}, []
    for path in sorted((_assignment(root, variant) / split).glob("*.json")):
        number = re.fullmatch(r"client_([0-9]+)", path.stem)
        if number is not None:
            clients[int(number[1])] = path
        elif split == TRAIN:
            raise DataError(f"{path} is no client's file; name it client_<number>.json.")
        else:
            others.append(path)
    central = root / "central_training"
    pooled = sorted([*central.glob(f"{split}.json"), *(central / split).glob("*.json")]) or others
    again = [path for path in pooled if path.stem == split and len(pooled) > 1]
    return Files(
        dict(sorted(clients.items())), [path for path in pooled if path not in again], again
    )


def _assignment(root: Path, variant: str | None) -> Path:
    folder = root / "clients"
    if variant is not None:
        if not (folder / variant / TRAIN).is_dir():
            raise DataError(
                f"dataset.variant={variant} but there is no {folder / variant / TRAIN}; choose one "
                f"of: {', '.join(_variants(folder)) or 'null'}."
            )
        return folder / variant
    if not (folder / TRAIN).is_dir() and (names := _variants(folder)):
        raise DataError(
            f"{folder} holds several assignments to clients; choose one with dataset.variant=: "
            f"{', '.join(names)}."
        )
    return folder


def _variants(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob(f"*/{TRAIN}"))


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
