"""Write a dataset in the published layout, whole or not at all."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fedvlm_flwr.data.federated import IMAGE_MARK
from fedvlm_flwr.data.layout import IMAGES, TEST, TRAIN
from fedvlm_flwr.data.making import Assignment
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.errors import DataError

COUNTS = "counts.json"


def write_dataset(
    assignment: Assignment, out: Path, about: Mapping[str, Any], step: Callable[[int, int], None]
) -> None:
    """Write all files of a dataset beside its place, and move them there at the end.

    Args:
        assignment: the items and whose they are.
        out: a folder that is not there yet, or is empty.
        about: what `counts.json` shall say.
        step: called with the pictures written and the pictures in all.

    Raises:
        DataError: there is something at `out`, or it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there already; remove it, or name another folder with out=.")
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a call that was ended in the middle
        partial.mkdir(parents=True)
        _write_pictures(assignment.items, partial / IMAGES, step)
        _write_records(assignment, partial)
        (partial / COUNTS).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        if out.exists():
            out.rmdir()
        partial.replace(out)
    except OSError as error:
        raise DataError(
            f"The dataset cannot be written to {out} ({error}); make room there, or name another "
            "folder with out=."
        ) from error


def _write_pictures(
    items: Iterable[tuple[str, Item]], folder: Path, step: Callable[[int, int], None]
) -> None:
    """Copy or make each picture once; one that the source lacks is left to the check."""
    pictures = {item.image: item.picture for _, item in items}
    for count, (image, picture) in enumerate(pictures.items()):
        path = folder / _inside(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(picture, Path):
            if picture.is_file():
                shutil.copyfile(picture, path)
        else:
            path.write_bytes(picture if isinstance(picture, bytes) else picture())
        step(count + 1, len(pictures))


def _inside(image: str) -> PurePosixPath:
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"A source names the picture '{image}', which lies outside its folder.")
    return path


def _write_records(assignment: Assignment, root: Path) -> None:
    files: dict[Path, list[dict[str, Any]]] = {}
    several = len({item.task for _, item in assignment.items}) > 1
    for (source, item), client in zip(assignment.items, assignment.client, strict=True):
        one = _record(source, item)
        central = root / "central_training" / item.split
        name = item.task if several and item.split == TEST else item.split
        files.setdefault(root / "clients" / item.split / f"client_{client}.json", []).append(one)
        files.setdefault(central / f"{name}.json", []).append(one)
    for split in (TRAIN, TEST):  # a client without a test record has an empty file
        for client in range(assignment.clients):
            files.setdefault(root / "clients" / split / f"client_{client}.json", [])
    for path, records in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in records)
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _record(source: str, item: Item) -> dict[str, Any]:
    return {
        **item.fields,
        "id": f"{source}-{item.id}",
        "image": f"{IMAGES}/{item.image}",
        "task": item.task,
        "source": source,
        "conversations": [
            {"from": "human", "value": f"{IMAGE_MARK}{item.question}"},
            {"from": "gpt", "value": item.answer},
        ],
    }
