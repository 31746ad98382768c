"""A user's own data: pictures, and tables of questions in the forms that people's tools write.

Every row of a table is a question about a picture, about several or about none. Any column that is
none of those that are known (site, scanner, ward, ...) is a field that partitions may go by.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fedvlm_flwr.data.checked import Checked, checked
from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.formats import formats, read_table
from fedvlm_flwr.data.hub import fetched
from fedvlm_flwr.data.limits import CUT, Limits
from fedvlm_flwr.data.records import FURTHER, REFERENCES, Records, pictures_of
from fedvlm_flwr.data.scored import Scored
from fedvlm_flwr.data.tables.columns import USUAL, columns_in
from fedvlm_flwr.data.tables.drawing import grouped, straddling, with_splits
from fedvlm_flwr.data.tables.inside import Pictures, holds_bytes
from fedvlm_flwr.data.tables.meaning import Meaning
from fedvlm_flwr.data.tables.rows import Reader
from fedvlm_flwr.data.tables.splits import SPLITS, table_files
from fedvlm_flwr.data.tables.values import is_missing
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.boxes import Box, change_boxes
from fedvlm_flwr.images.reading import image_size_of
from fedvlm_flwr.paths import fedvlm_home
from fedvlm_flwr.settings import TOKENS, setting
from fedvlm_flwr.tasks import load_task, task_names


@dataclass(frozen=True, kw_only=True)
class Params(Limits, Meaning, Scored):
    """Where the tables are, and how to read them."""

    title: str = field(metadata=setting(name=True))
    """A name for messages and cache folders."""
    root: str | None = field(metadata=setting(path=True))
    """The folder of the tables; images are named relative to it. Null: see `hub`, or to be set."""
    hub: str | None
    """A dataset of the Hugging Face hub (organization/name), fetched once through `datasets` and
    kept in the cache folder; null: the tables lie in `root`."""
    files: list[str] | None
    """The tables below it, with * and ? in their names; null: every file of a known ending."""
    test_fraction: float = field(metadata=setting(above=0, below=1))
    """Part of the images that is the test set, where the files name none."""
    group_by: str | None
    """A column, such as patient: its rows of one value are in one drawn split and one client; null:
    rows of one picture are."""
    boxes: str = field(metadata=setting(choices=("fractions", "pixels")))
    """Units of boxes: fractions | pixels."""
    box_form: str = field(metadata=setting(choices=("xywh", "xyxy")))
    """The four numbers of a box: xywh (left, top, width, height) | xyxy (two corners)."""
    box_decimals: int = field(metadata=setting(least=1, most=6))
    """Decimals of the boxes that a model is taught to write; scores are of the exact ones."""
    answer_tokens: int | None = field(metadata=setting(least=1, most=TOKENS))
    """Tokens after which an answer is ended when a model is scored (`eval.max_new_tokens`); null:
    the length that 99.5 % of the right answers do not exceed."""

    def __post_init__(self) -> None:
        if self.root is not None and self.hub is not None:
            raise ConfigError(
                f"dataset.root={self.root} and dataset.hub={self.hub} are both set; set one of "
                "them to null."
            )
        for key, choices, names in (
            ("columns", USUAL, self.columns),
            ("splits", SPLITS, self.splits.values()),
        ):
            for name in names:
                if name not in choices:
                    raise ConfigError(
                        f"dataset.{key} names '{name}'; what it may name is: {', '.join(choices)}."
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
    return examine(params).within(
        params.allow_errors, params.box_decimals, cut_answers=params.long_answers == CUT
    )


def examine(params: Params) -> Checked:
    """The good records, and what is wrong with the others.

    Raises:
        ConfigError: the folder is not set.
        DataError: the folder or its files cannot be used.
    """
    root = _root(params)
    if not root.is_dir():
        raise DataError(f"There is no dataset folder {root}; set dataset.root to one.")
    tables = table_files(root, formats(), params.files)
    if not tables:
        raise DataError(
            f"{root} holds no table ({', '.join(formats())}); put the table of questions there."
        )
    other = {
        "title",
        "root",
        "hub",
        "allow_errors",
        "answer_tokens",
        "box_decimals",
        "long_answers",
    }
    other |= {each.name for each in fields(Scored)}
    choices = {key: value for key, value in vars(params).items() if key not in other}
    return checked(params.title, root, tables, lambda: _records(root, tables, params), choices)


def _root(params: Params) -> Path:
    if params.hub is not None:
        return fetched(params.hub)
    if params.root is None:
        raise ConfigError(
            "dataset.root is not set; name the folder of your tables and pictures with "
            "dataset.root=<folder>, or a dataset of the hub with dataset.hub=<organization>/<name>."
        )
    return Path(params.root).expanduser().resolve()


def _pictures(root: Path, tables: Sequence[Path], params: Params) -> Pictures:
    """The pictures' place: the first one tells whether they stand in the tables."""
    first = None
    for path in tables:
        table = read_table(path)
        fixed = params.question is not None
        column = columns_in(path, table, params.columns, fixed).image
        values = (None if column is None else row.get(column) for row in table.rows)
        first = next((value for value in values if not is_missing(value)), None)
        if first is not None:
            break
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:16]
    cache = fedvlm_home() / "pictures" / f"{params.title}-{digest}"
    return Pictures(root, cache if holds_bytes(first) else None)


def _records(root: Path, tables: Sequence[Path], params: Params) -> Records:
    """All rows of all tables, in their splits, with boxes in fractions."""
    pictures = _pictures(root, tables, params)
    records = Reader(root, pictures, params).read(tables)
    if params.group_by is not None:
        records = grouped(records, params.group_by)
    records = with_splits(records, root, pictures.folder, params.test_fraction, params.split_seed)
    rows = [
        replace(row, record=_with_fractions(row.record, pictures.folder, params))
        for row in records.rows
    ]
    notes = [*records.notes, *straddling(records)]
    return replace(records, rows=rows, notes=notes, pictures=pictures.folder)


def _with_fractions(record: Mapping[str, Any], root: Path, params: Params) -> Mapping[str, Any]:
    """The record with its boxes as left, top, width, height in fractions of the picture."""
    if (params.boxes, params.box_form) == ("fractions", "xywh") or record[
        "task"
    ] not in task_names():
        return record
    places = load_task(record["task"]).BOXES_IN
    if not places:
        return record
    across, down = 1, 1
    if params.boxes == "pixels" and len(pictures_of(record["image"], record[FURTHER])) == 1:
        try:
            across, down = image_size_of(root / record["image"])
        except DataError:  # a picture that cannot be read: the check names it
            return record

    def change(box: Box) -> Box:
        x, y, width, height = box
        if params.box_form == "xyxy":
            width, height = width - x, height - y
        return x / across, y / down, width / across, height / down

    def changed(text: str, place: str) -> str:
        return change_boxes(text, change, None) if place in places else text

    places_of = {"human": "question", "gpt": "answer"}
    return {
        **record,
        "conversations": [
            {**turn, "value": changed(turn["value"], places_of[turn["from"]])}
            for turn in record["conversations"]
        ],
        REFERENCES: [changed(text, "answer") for text in record[REFERENCES]],
    }
