"""A user's own data: pictures, and tables of questions as JSON lines or parquet files.

Every row of a table is one question: picture, question, answer, and, where they differ from row to
row, task, split and id. Any other column (site, scanner, ward, ...) is a field that partitions may
go by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvlm_flwr.data.check import Row
from fedvlm_flwr.data.checked import Checked, checked
from fedvlm_flwr.data.federated import IMAGE_MARK, FederatedData
from fedvlm_flwr.data.limits import Limits
from fedvlm_flwr.data.row_files import ENDINGS, read_rows
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.boxes import Box, change_boxes
from fedvlm_flwr.images.reading import image_size_of
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.settings import SEEDS, TOKENS, setting
from fedvlm_flwr.tasks import load_task, task_names

SPLITS = ("train", "test")
SPLIT_WORDS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
NEEDED = ("image", "question", "answer")
COLUMNS = (*NEEDED, "task", "split", "id")


@dataclass(frozen=True, kw_only=True)
class Params(Limits):
    """Where the tables are, and how to read them."""

    title: str = field(metadata=setting(name=True))
    """A name for messages and cache folders."""
    root: str | None = field(metadata=setting(path=True))
    """The folder of the tables; images are named relative to it. Null has to be replaced."""
    columns: dict[str, str]
    """Names of the tables' columns for image, question, answer, task, split and id."""
    task: str | None
    """The task of all rows, where no column tells it; null: a column does."""
    test_fraction: float = field(metadata=setting(above=0, below=1))
    """Part of the images that is the test set, where neither column nor file's name tells it."""
    split_seed: int = field(metadata=setting(least=0, most=SEEDS))
    """Of the draw of those test images."""
    boxes: str = field(metadata=setting(choices=("fractions", "pixels")))
    """Units of boxes: fractions | pixels."""
    box_form: str = field(metadata=setting(choices=("xywh", "xyxy")))
    """The four numbers of a box: xywh (left, top, width, height) | xyxy (two corners)."""
    answer_tokens: int = field(metadata=setting(least=1, most=TOKENS))
    """Tokens after which an answer is ended when a model is scored (`eval.max_new_tokens`)."""

    def __post_init__(self) -> None:
        for key in self.columns:
            if key not in COLUMNS:
                raise ConfigError(
                    f"Unknown key dataset.columns.{key}; the keys there are: {', '.join(COLUMNS)}."
                )
        if self.task is not None and self.task not in task_names():
            raise ConfigError(
                f"dataset.task={self.task} is unknown; choose one of: {', '.join(task_names())}."
            )


def load(params: Params) -> FederatedData:
    """Read the tables, after reading and checking all files once.

    Raises:
        DataError: the folder or its files cannot be used, or more records are bad than may be.
    """
    return examine(params).within(params.allow_errors)


def examine(params: Params) -> Checked:
    """The good records, and what is wrong with the others.

    Raises:
        ConfigError: the folder is not set.
        DataError: the folder or its files cannot be used.
    """
    if params.root is None:
        raise ConfigError(
            "dataset.root is not set; name the folder of your tables and pictures with "
            "dataset.root=<folder>."
        )
    root = Path(params.root).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"There is no dataset folder {root}; set dataset.root to one.")
    tables = sorted(path for path in root.iterdir() if path.suffix in ENDINGS)
    if not tables:
        raise DataError(
            f"{root} holds no .jsonl or .parquet file; put the table of questions there."
        )
    other = ("title", "root", "allow_errors", "answer_tokens")
    choices = {key: value for key, value in vars(params).items() if key not in other}
    return checked(params.title, root, tables, lambda: _rows(root, tables, params), choices)


def _rows(root: Path, tables: Sequence[Path], params: Params) -> list[Row]:
    """All rows of all tables.

    Raises:
        DataError: a table cannot be read, lacks a column, or names an unknown split.
    """
    records: list[tuple[str, str | None, dict[str, Any]]] = []
    for path in tables:
        for i, record in enumerate(read_rows(path)):
            records.append((path.name, *_record(path, i, record, params)))
    test_pictures = _sample_test_pictures(
        [(record["image"], split) for _, split, record in records], params
    )
    return [
        Row(
            file,
            split or ("test" if record["image"] in test_pictures else "train"),
            _with_fractions(record, root, params),
        )
        for file, split, record in records
    ]


def _record(
    path: Path, number: int, row: Mapping[str, Any], params: Params
) -> tuple[str | None, dict[str, Any]]:
    """The split that a row tells, if it does, and its record."""
    named = {key: params.columns.get(key, key) for key in COLUMNS}
    where = f"Row {number + 1} of {path}"
    for key in NEEDED:
        if named[key] not in row:
            raise DataError(
                f"{where} has no '{named[key]}' (it has: {', '.join(map(str, row))}); add it, or "
                f"name the column with dataset.columns.{key}=<name>."
            )
    values = {key: row.get(named[key]) for key in COLUMNS}
    if not isinstance(values["image"], str):
        raise DataError(
            f"{where} has {values['image']!r:.60} for a picture; write the pictures as files and "
            "name them relative to the table's folder."
        )
    split = SPLIT_WORDS.get(path.stem) if values["split"] is None else values["split"]
    if split is not None and (split := SPLIT_WORDS.get(str(split).lower())) is None:
        raise DataError(
            f"{where} is of the split {values['split']!r}; choose train or test, or leave it out."
        )
    task = values["task"] or params.task
    if task is None:
        raise DataError(
            f"{where} names no task; add a column 'task', or set dataset.task to one of: "
            f"{', '.join(task_names())}."
        )
    fields = {
        str(key): str(value)
        for key, value in row.items()
        if key not in named.values() and isinstance(value, str | int | float)
    }
    return split, {
        **fields,
        "id": f"{path.name}-{number}" if values["id"] is None else str(values["id"]),
        "image": values["image"],
        "task": str(task),
        "conversations": [
            {"from": "human", "value": f"{IMAGE_MARK}{_text(values['question'])}"},
            {"from": "gpt", "value": _text(values["answer"])},
        ],
    }


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _sample_test_pictures(rows: list[tuple[str, str | None]], params: Params) -> set[str]:
    """Test pictures among those whose rows name no split; all rows of a picture stay together."""
    pictures = sorted({image for image, split in rows if split is None})
    if not pictures:
        return set()
    count = max(1, round(params.test_fraction * len(pictures)))
    chooser = stream(params.split_seed, "test pictures")
    return set(chooser.choice(pictures, count, replace=False).tolist())


def _with_fractions(record: dict[str, Any], root: Path, params: Params) -> dict[str, Any]:
    """The record with its boxes as left, top, width, height in fractions of the picture."""
    if (params.boxes, params.box_form) == ("fractions", "xywh") or record[
        "task"
    ] not in task_names():
        return record
    places = load_task(record["task"]).BOXES_IN
    if not places:
        return record
    across, down = 1, 1
    if params.boxes == "pixels":
        try:
            across, down = image_size_of(root / record["image"])
        except DataError:  # a picture that cannot be read: the check names it
            return record

    def change(box: Box) -> Box:
        x, y, width, height = box
        if params.box_form == "xyxy":
            width, height = width - x, height - y
        return x / across, y / down, width / across, height / down

    human, answer = record["conversations"]
    changed = [
        {**turn, "value": change_boxes(turn["value"], change)} if place in places else turn
        for place, turn in (("question", human), ("answer", answer))
    ]
    return {**record, "conversations": changed}
