"""What is wrong with the records of a dataset: one line a problem, with file and record."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from fedvlm_flwr.data.contents import contents, in_parallel
from fedvlm_flwr.data.federated import Example, check_picture, read_example
from fedvlm_flwr.data.records import FURTHER, KEYS, Row
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
    """Records of which a picture is, by its content, one of a record that they are judged by.

    That is for training records one of the test or the validation set, and for validation records
    one of the test set, of the same task.

    A picture that cannot be read is none of them.
    """
    content_of = contents({root / name for row in rows for name in row.pictures})
    first: dict[tuple[str, str, str], tuple[str, str]] = {}
    for row in rows:
        for name in row.pictures:
            if content := content_of.get(root / name):
                key = (row.split, str(row.record["task"]), content)
                first.setdefault(key, (row.name, name))
    problems = []
    for i, row in enumerate(rows):
        for split, name in product(JUDGES.get(row.split, ()), row.pictures):
            key = (split, str(row.record["task"]), content_of.get(root / name, ""))
            other = first.get(key)
            if other is not None:
                record, its_name = other
                text = f"the picture {name} is in the {split} set too"
                text += f" (record '{record}'{'' if name == its_name else f', as {its_name}'})"
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
            name, image, turns, task = (row.record[key] for key in KEYS)
            example = read_example(root, name, image, turns, task, row.record.get(FURTHER, ()))
        except DataError as error:
            yield i, row, VALUE.sub("...", str(error)), str(error)
            continue
        for path in dict.fromkeys(example.images):
            rows_of.setdefault(path, []).append(i)
        if example.task not in tasks:
            text = f"the task '{example.task}' is none of {', '.join(sorted(tasks))}"
            yield i, row, "unknown tasks", text
        else:
            yield from ((i, row, *what) for what in _text_problems(example))
    problem = partial(_picture_problem, max_pixels)
    for path, unreadable in zip(rows_of, in_parallel(problem, rows_of), strict=True):
        if unreadable:
            for i in rows_of[path]:
                yield i, rows[i], "pictures that cannot be read", unreadable


def _text_problems(example: Example) -> Iterator[tuple[str, str]]:
    if not any(sign.isalnum() for sign in example.answer):
        yield "empty answers", f"the answer {example.answer!r} holds neither a letter nor a digit"
    places = load_task(example.task).BOXES_IN
    texts = {"question": example.question, "answer": example.answer}
    for place in sorted(places):
        boxes = parse_boxes(texts[place])
        if place == "answer" and not boxes:
            yield "answers without a box", f"the answer {example.answer[:80]!r} holds no box"
        if boxes and len(example.images) != 1:
            text = f"the {place} tells a box, and the record shows {len(example.images)} pictures"
            yield "boxes in records of several pictures or none", f"{text}; a box is one of one"
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
