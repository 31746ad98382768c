"""easy-VQA (Victor Zhou, MIT): 5,000 pictures of one colored shape, from the PyPI package.

Questions, answers and pixels give four tasks: the official questions (vqa), which shape and which
color (classification), "a blue rectangle" (captioning) and the shape's box (detection). The first
2,000 training pictures are public, the other 2,000 the clients', the official 1,000 test pictures
the server's.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import easy_vqa

from fedvlm_flwr.data import shape_pixels
from fedvlm_flwr.data.cache import cached_tables
from fedvlm_flwr.data.federated import BOX_DECIMALS, IMAGE_MARK, FederatedData
from fedvlm_flwr.data.scored import Scored
from fedvlm_flwr.data.shape_pixels import COLORS, SHAPES, MeasuredShape, measure
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.boxes import format_box
from fedvlm_flwr.paths import fedvlm_home
from fedvlm_flwr.settings import TOKENS, setting

if TYPE_CHECKING:
    from datasets import Dataset, Features

TASKS = ("vqa", "classification", "captioning", "detection")
PUBLIC, TRAIN, TEST = range(2000), range(2000, 4000), range(1000)  # picture numbers
COLUMNS = ("id", "image", "conversations", "task", "shape", "color", "shape_color")

Questions = Mapping[int, Sequence[tuple[str, str]]]  # the official questions and answers by picture


@dataclass(frozen=True)
class Params(Scored):
    """How much of easy-VQA to take; by default all of it."""

    tasks: list[str] = field(default_factory=lambda: list(TASKS))
    """Tasks of all three tables."""
    train_pictures: int | None = field(default=None, metadata=setting(least=1, most=len(TRAIN)))
    """Clients' images, the first so many; null: all 2,000."""
    test_pictures: int | None = field(default=None, metadata=setting(least=1, most=len(TEST)))
    """Test images, the first so many; null: all 1,000."""
    answer_tokens: int = field(default=16, metadata=setting(least=1, most=TOKENS))
    """Tokens after which an answer is ended when a model is scored (`eval.max_new_tokens`)."""

    def __post_init__(self) -> None:
        names = ", ".join(TASKS)
        for name in self.tasks:
            if name not in TASKS:
                raise ConfigError(f"Unknown task '{name}' in dataset.tasks; choose from: {names}.")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ConfigError(
                f"dataset.tasks={self.tasks} must name at least one task, each once; "
                f"choose from: {names}."
            )


def load(params: Params) -> FederatedData:
    """Read the tables, after building them once per set of values (about two seconds).

    Raises:
        DataError: the installed package or the cached tables cannot be used.
    """
    root = Path(easy_vqa.__file__).resolve().parent
    values = asdict(params)
    for each in fields(Scored):
        del values[each.name]
    tables = cached_tables(_folder(root, values), lambda: _build(root, params))
    return FederatedData("easyvqa", root, lambda: public_table(root, params), **tables)


def public_table(root: Path, params: Params) -> Dataset:
    """The public records, whose table is built when it is first asked for.

    Raises:
        DataError: as `load`.
    """

    def build() -> dict[str, Dataset]:
        questions = _by_picture(*easy_vqa.get_train_questions())
        return {"public": _table(root, "train", PUBLIC, questions, params.tasks)}

    return cached_tables(_folder(root, {"public": params.tasks}), build)["public"]


def _folder(root: Path, values: Mapping[str, Any]) -> Path:
    """Where tables are kept; it is named by a hash of what determines them.

    That is the values, the code that builds them, and the installed package.
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in (__file__, shape_pixels.__file__):
        digest.update(Path(path).read_bytes())
    for split in ("train", "test"):
        digest.update((root / "data" / split / "questions.json").read_bytes())
        pictures = (root / "data" / split / "images").glob("*.png")
        sizes = sorted((path.name, path.stat().st_size) for path in pictures)
        digest.update(json.dumps(sizes).encode())
    return fedvlm_home() / "datasets" / f"easyvqa-{digest.hexdigest()[:16]}"


def _build(root: Path, params: Params) -> dict[str, Dataset]:
    train_questions = _by_picture(*easy_vqa.get_train_questions())
    test_questions = _by_picture(*easy_vqa.get_test_questions())
    train, test = TRAIN[: params.train_pictures], TEST[: params.test_pictures]
    return {
        "train": _table(root, "train", train, train_questions, params.tasks),
        "test": _table(root, "test", test, test_questions, params.tasks),
    }


def _by_picture(questions: list[str], answers: list[str], pictures: list[int]) -> Questions:
    by_picture = defaultdict(list)
    for question, answer, picture in zip(questions, answers, pictures, strict=True):
        by_picture[picture].append((question, answer))
    return by_picture


def _table(
    root: Path, split: str, numbers: Sequence[int], questions: Questions, tasks: Sequence[str]
) -> Dataset:
    """One row a question, picture after picture, each picture's tasks in the order of `TASKS`."""
    images = [f"data/{split}/images/{number}.png" for number in numbers]
    rows: list[dict[str, Any]] = []
    for number, image, figure in zip(
        numbers, images, measure([root / image for image in images]), strict=True
    ):
        check_labels(image, figure, questions[number])
        same = {"shape": figure.shape, "color": figure.color, "shape_color": _name(figure)}
        for i, (task, question, answer) in enumerate(_turns(figure, questions[number])):
            if task not in tasks:
                continue
            conversation = [
                {"from": "human", "value": f"{IMAGE_MARK}{question}"},
                {"from": "gpt", "value": answer},
            ]
            record = {"id": f"{split}-{number}-{task}-{i}", "image": image, "task": task, **same}
            rows.append({**record, "conversations": conversation})
    from datasets import Dataset
    from datasets.table import InMemoryTable

    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    # Straight to Arrow: `Dataset.from_dict` walks every value in Python, twice as slow in all.
    return Dataset(InMemoryTable.from_pydict(columns, schema=features().arrow_schema))


def features() -> Features:
    """The columns' types."""
    from datasets import Features, List, Value

    turns = List({"from": Value("string"), "value": Value("string")})
    texts = {name: Value("string") for name in COLUMNS}
    return Features({**texts, "conversations": turns})


def _turns(
    figure: MeasuredShape, questions: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Every (task, question, answer) of a picture."""
    for question, answer in questions:
        yield "vqa", question, answer
    yield "classification", "which shape is this?", figure.shape
    yield "classification", "which color is this?", figure.color
    yield "captioning", "describe the image.", f"a {_name(figure)}"
    yield "detection", "where is the shape?", format_box(figure.box, BOX_DECIMALS)


def _name(figure: MeasuredShape) -> str:
    return f"{figure.color} {figure.shape}"


def check_labels(image: str, figure: MeasuredShape, questions: Sequence[tuple[str, str]]) -> None:
    """Compare shape and color measured from the pixels with everything the questions say.

    The questions alone name both for 3,542 of the 4,000 training and 880 of the 1,000 test
    pictures, so the pixels decide and the questions check them.

    Raises:
        DataError: a question and its answer contradict the pixels; names the picture.
    """
    for question, answer in questions:
        words = question.rstrip("?").split()
        named = [word for word in words if word in SHAPES or word in COLORS]
        if answer in ("yes", "no"):
            present = (answer == "yes") != ("no" in words or "not" in words)
        else:  # "what color is the circle?": it is a circle, and the answer is there too
            named, present = [*named, answer], True
        for word in named:
            if (word in (figure.shape, figure.color)) != present:
                raise DataError(
                    f"The picture {image} shows a {_name(figure)}, which contradicts its question "
                    f"{question!r} with the answer {answer!r}; install easy-vqa again."
                )
