"""What is wrong with the records of a dataset: one line a problem, with file and record."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fedvlm_flwr.data.federated import Example, check_picture, read_example
from fedvlm_flwr.data.records import KEYS, Row
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.boxes import parse_boxes
from fedvlm_flwr.images.reading import MOST_PIXELS
from fedvlm_flwr.tasks import load_task, task_names

SHARED = (
    "records on pictures of the set they are judged by (dataset.shared_pictures=allow keeps them)"
)
JUDGES = {"train": ("test", "validation"), "validation": ("test",)}  # by what a split is judged
VALUE = re.compile(r"[0-9]+|'[^']*'|\"[^\"]*\"")  # what differs between problems of one kind
LINE = 1000  # characters of a problem that are told
ROUNDING = 0.0101  # a corner and a size, each written with two decimals


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one record; `row` is its place among the rows that were checked.

    `kind` is what it has in common with others, as a sentence about several records.
    """

    row: int
    file: str
    record: str
    kind: str
    text: str

    def __str__(self) -> str:
        line = " ".join(f"{self.file}: {self.record}: {self.text}".split())
        return line if len(line) <= LINE else f"{line[:LINE]} ..."


def find_problems(rows: Sequence[Row], root: Path, max_pixels: int = MOST_PIXELS) -> list[Problem]:
    """Everything that is wrong, in the order of the rows.

    Missing, unreadable or too large pictures, malformed conversations, empty answers, unknown
    tasks, boxes without area or outside the picture, ids that came before.
    """
    problems = [
        Problem(i, row.file, row.name, *what) for i, row, *what in _all(rows, root, max_pixels)
    ]
    return sorted(problems, key=lambda problem: problem.row)


def shared_pictures(rows: Sequence[Row], root: Path) -> list[Problem]:
    """Records whose picture is, by its content, one of a record that they are judged by.

    That is for training records one of the test or the validation set, and for validation records
    one of the test set, of the same task.

    A picture that cannot be read is none of them.
    """
    digests = _digests({root / str(row.record["image"]) for row in rows})
    first_record: dict[tuple[str, str, str], str] = {}
    for row in rows:
        digest = digests.get(root / str(row.record["image"]))
        if digest:
            first_record.setdefault((row.split, str(row.record["task"]), digest), row.name)
    problems = []
    for i, row in enumerate(rows):
        digest = digests.get(root / str(row.record["image"]), "")
        for split in JUDGES.get(row.split, ()):
            other = first_record.get((split, str(row.record["task"]), digest))
            if other is not None:
                text = f"the picture {row.record['image']} is in the {split} set too"
                text += f" (record '{other}')"
                problems.append(Problem(i, row.file, row.name, SHARED, text))
                break
    return problems


def _all(rows: Sequence[Row], root: Path, max_pixels: int) -> Iterator[tuple[int, Row, str, str]]:
    """Number, row, kind and text of each problem."""
    tasks, before = set(task_names()), dict[str, str]()
    rows_of: dict[Path, list[int]] = {}
    for i, row in enumerate(rows):
        if row.name in before:
            yield i, row, "ids stand twice", f"the id stands in {before[row.name]} before"
        before.setdefault(row.name, row.file)
        if row.problem:
            yield i, row, VALUE.sub("...", row.problem), row.problem
            continue
        try:
            example = read_example(root, *(row.record[key] for key in KEYS))
        except DataError as error:
            yield i, row, VALUE.sub("...", str(error)), str(error)
            continue
        rows_of.setdefault(example.image, []).append(i)
        if example.task not in tasks:
            text = f"the task '{example.task}' is none of {', '.join(sorted(tasks))}"
            yield i, row, "unknown tasks", text
        else:
            yield from ((i, row, *what) for what in _text_problems(example))
    problem = partial(_picture_problem, max_pixels)
    for path, text in zip(rows_of, _in_parallel(problem, rows_of), strict=True):
        if text:
            for i in rows_of[path]:
                yield i, rows[i], "pictures that cannot be read", text


def _text_problems(example: Example) -> Iterator[tuple[str, str]]:
    if not any(sign.isalnum() for sign in example.answer):
        yield "empty answers", f"the answer {example.answer!r} holds neither a letter nor a digit"
    places = load_task(example.task).BOXES_IN
    texts = {"question": example.question, "answer": example.answer}
    for place in sorted(places):
        boxes = parse_boxes(texts[place])
        if place == "answer" and not boxes:
            yield "answers without a box", f"the answer {example.answer[:80]!r} holds no box"
        for box in boxes:
            x, y, width, height = box.box
            if width <= 0 or height <= 0:
                text = f"the box {list(box.box)} in the {place} has no area"
                yield "boxes without area", text
            elif min(x, y) < 0 or max(x + width, y + height) > 1 + ROUNDING:
                text = f"the box {list(box.box)} in the {place} is not inside the picture"
                yield "boxes that leave the picture", text


def _picture_problem(max_pixels: int, path: Path) -> str | None:
    try:
        check_picture(path, "?", max_pixels)
    except DataError as error:
        return f"the picture {path} cannot be read ({error.__cause__})"
    return None


def _digest(path: Path) -> str | None:
    try:
        if not path.is_file():  # a pipe would never end
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # told by `find_problems`
        return None


def _digests(paths: Iterable[Path]) -> dict[Path, str]:
    in_order = sorted(paths)
    digests = zip(in_order, _in_parallel(_digest, in_order), strict=True)
    return {path: digest for path, digest in digests if digest}


def _in_parallel(work: Any, paths: Iterable[Path]) -> Iterator[Any]:
    """Decoding and hashing leave Python's lock, so threads use all cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(work, paths, chunksize=1)
