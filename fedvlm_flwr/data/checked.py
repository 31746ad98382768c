"""A dataset from files: read, checked as a whole, kept as Arrow tables without its bad records."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedvlm_flwr.data import check
from fedvlm_flwr.data.cache import cached_tables, read_tables
from fedvlm_flwr.data.check import Problem
from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.foreign import MOST_FIELDS
from fedvlm_flwr.data.layout import IMAGE_FOLDERS as WHERE
from fedvlm_flwr.data.layout import TEST, TRAIN, VALIDATION
from fedvlm_flwr.data.records import (
    FURTHER,
    KEYS,
    REFERENCES,
    Records,
    Row,
    Source,
    sources_of,
)
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.paths import PACKAGE, fedvlm_home

if TYPE_CHECKING:
    from datasets import Dataset

PROBLEM_FIELDS = tuple(field.name for field in fields(Problem))
LEVEL, BAD, ALLOWED = "level", "bad", "allowed"
STATE_COLUMN = "watched"
ROOT = "root"  # the table of the folder that pictures are relative to
CODE = [PACKAGE / name for name in ("data", "tasks", "images")]


@dataclass(frozen=True, slots=True)
class Checked:
    """A dataset's tables with all their records that are good, and what is wrong with the others.

    Attributes:
        problems: of records that are left out.
        allowed: training records on pictures of the test set, where that is allowed.
        folder: where its files lie.
        sources: what was taken from which file.
        notes: what was changed in records, or is to be known of them; a line each.
        max_pixels: what an image may have.
    """

    name: str
    root: Path
    train: Dataset
    validation: Dataset
    test: Dataset
    problems: list[Problem]
    allowed: list[Problem]
    sources: list[Source]
    notes: list[str]
    folder: Path
    max_pixels: int

    @property
    def bad(self) -> int:
        """How many records are left out."""
        return len({problem.row for problem in self.problems})

    @property
    def records(self) -> int:
        """How many records there are, the bad ones among them."""
        return self.bad + len(self.train) + len(self.validation) + len(self.test)

    def within(
        self, allow_errors: int, box_decimals: int, *, cut_answers: bool = False
    ) -> FederatedData:
        """The dataset, if not more records are bad than may be.

        Args:
            box_decimals, cut_answers: see `FederatedData`.

        Raises:
            DataError: more are.
        """
        if self.bad > allow_errors:
            raise DataError(
                f"{self.bad} of the {self.records} records of "
                f"{self.folder} are bad (first: {self.problems[0]}); see all of them with "
                "`fedvlm prepare --check`, mend them, or have them left out with "
                f"dataset.allow_errors={self.bad}."
            )
        return FederatedData(
            self.name,
            self.root,
            lambda: self.train.select([]),
            self.train,
            self.test,
            self.bad,
            self.validation,
            box_decimals,
            self.max_pixels,
            cut_answers,
        )


def checked(
    name: str,
    folder: Path,
    files: Sequence[Path],
    read: Callable[[], Records],
    choices: Mapping[str, Any],
) -> Checked:
    """Read and check a dataset, or take what an earlier call has kept of the same files.

    Args:
        name: of the dataset.
        folder: where its files lie.
        files: the files that hold its records.
        read: gives them.
        choices: what else determines the tables; `shared_pictures` and `max_pixels`, see `Limits`,
            are among them.

    Raises:
        DataError: a file cannot be read, or the cache cannot be used.
    """
    place = fedvlm_home() / "datasets" / f"{name}-{fingerprint(files, choices)}"
    from datasets import Dataset

    tables = _earlier_tables(place)
    if tables is None:
        records = read()
        root = records.pictures or folder
        state_paths = _state_paths(records.rows, root)
        tables = cached_tables(
            _with_state(place, root, state_paths),
            lambda: (
                build(records.rows, root, choices["shared_pictures"], choices["max_pixels"])
                | {STATE_COLUMN: Dataset.from_dict({"picture": state_paths})}
                | {ROOT: Dataset.from_dict({ROOT: [str(root)]})}
                | {"sources": _source_table(sources_of(records))}
                | {"notes": _note_table(records.notes)}
            ),
        )
    table = tables["problems"]
    of_level: dict[str, list[Problem]] = {BAD: [], ALLOWED: []}
    for level, *values in zip(*(table[key][:] for key in (LEVEL, *PROBLEM_FIELDS)), strict=True):
        of_level[level].append(Problem(*values))
    sources = [
        Source(**{**row, "columns": json.loads(row["columns"])}) for row in tables["sources"]
    ]
    return Checked(
        name,
        _root_of(tables),
        tables[TRAIN],
        tables[VALIDATION],
        tables[TEST],
        of_level[BAD],
        of_level[ALLOWED],
        sources,
        tables["notes"]["note"][:],
        folder,
        choices["max_pixels"],
    )


def _root_of(tables: Mapping[str, Dataset]) -> Path:
    return Path(tables[ROOT][ROOT][0])


def _earlier_tables(place: Path) -> dict[str, Dataset] | None:
    """Tables of the same files whose pictures have not changed since; None where there are none."""
    for folder in sorted(place.parent.glob(f"{place.name}-*")):
        tables = read_tables(folder)
        pictures = tables[STATE_COLUMN]["picture"][:]
        if folder == _with_state(place, _root_of(tables), pictures):
            return tables
    return None


def _state_paths(rows: Iterable[Row], root: Path) -> list[str]:
    """The pictures of all records, and the other places where a missing one may turn up."""
    images = sorted({name for row in rows for name in row.pictures})
    return [
        f"{folder}/{image}" if folder else image
        for image in images
        for folder in (WHERE[:1] if os.path.isfile(root / image) else WHERE)  # noqa: PTH113
    ]


def _with_state(place: Path, root: Path, pictures: Iterable[str]) -> Path:
    """The folder for tables of pictures with these sizes and times."""
    digest = hashlib.sha256()
    for picture in pictures:
        try:
            facts = (root / picture).stat()
            digest.update(f"{facts.st_size} {facts.st_mtime_ns}\n".encode())
        except (OSError, ValueError):  # no such file, or no name that a file could have
            digest.update(b"missing\n")
    return place.with_name(f"{place.name}-{digest.hexdigest()[:16]}")


def examined(data: FederatedData) -> Checked:
    """Check a dataset that does not come from files like these: its tables stay as they are."""
    rows = [
        Row(f"{data.name} {split}", split, record)
        for split, table in (("train", data.train), ("test", data.test))
        for record in table
    ]
    bad = check.find_problems(rows, data.root) + check.shared_pictures(rows, data.root)
    return Checked(
        data.name,
        data.root,
        data.train,
        data.train.select([]),
        data.test,
        bad,
        [],
        [],
        [],
        data.root,
        data.max_pixels,
    )


def fingerprint(files: Iterable[Path], choices: Mapping[str, Any]) -> str:
    """Hash names, sizes and times of the files, the choices, and the code that reads and checks."""
    digest = hashlib.sha256(json.dumps(choices, sort_keys=True).encode())
    for code in CODE:
        for path in sorted(code.rglob("*.py")):
            digest.update(path.read_bytes())
    for path in files:
        facts = path.stat()
        digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def build(rows: Sequence[Row], root: Path, shared: str, max_pixels: int) -> dict[str, Dataset]:
    """The table of the good records of each split, and `problems`."""
    names = _field_names(rows, root)
    twice = check.shared_pictures(rows, root)
    bad = check.find_problems(rows, root, max_pixels) + (twice if shared == "refuse" else [])
    problems = [(BAD, problem) for problem in sorted(bad, key=lambda problem: problem.row)]
    if shared == "allow":
        problems += [(ALLOWED, problem) for problem in twice]
    left_out = {problem.row for problem in bad}
    good = [row for i, row in enumerate(rows) if i not in left_out]
    return {
        split: _table([row for row in good if row.split == split], names)
        for split in (TRAIN, VALIDATION, TEST)
    } | {"problems": _problem_table(problems)}


def _field_names(rows: Sequence[Row], folder: Path) -> list[str]:
    """What records have beside the keys of every record.

    Raises:
        DataError: together they have more than a table may; names the file that brings them.
    """
    names: set[str] = set()
    for row in rows:
        names.update(row.record)
        if len(names) > MOST_FIELDS:
            raise DataError(
                f"{folder / row.file} and the files before it have {len(names)} columns, more than "
                f"the {MOST_FIELDS} that a dataset may have; keep those that are asked about or "
                "that a partition goes by."
            )
    return sorted(names - {*KEYS, FURTHER, REFERENCES})


def _table(rows: Sequence[Row], names: Sequence[str]) -> Dataset:
    from datasets import Dataset, Features, List, Value

    turns = List({"from": Value("string"), "value": Value("string")})
    features = Features(
        {**{name: Value("string") for name in (*KEYS, *names)}, "conversations": turns}
        | {name: List(Value("string")) for name in (FURTHER, REFERENCES)}
    )
    columns: dict[str, list[Any]] = {
        name: [str(row.record.get(name, "")) for row in rows] for name in features
    }
    columns["conversations"] = [row.record["conversations"] for row in rows]
    for name in (FURTHER, REFERENCES):
        columns[name] = [row.record.get(name, []) for row in rows]
    return Dataset.from_dict(columns, features=features)


def _source_table(sources: Sequence[Source]) -> Dataset:
    from datasets import Dataset, Features, Value

    columns = {
        "file": [source.file for source in sources],
        "split": [source.split for source in sources],
        "records": [source.records for source in sources],
        "columns": [json.dumps(source.columns) for source in sources],
    }
    features = {name: Value("string") for name in columns} | {"records": Value("int64")}
    return Dataset.from_dict(columns, Features(features))


def _note_table(notes: Sequence[str]) -> Dataset:
    from datasets import Dataset, Features, Value

    return Dataset.from_dict({"note": list(notes)}, Features({"note": Value("string")}))


def _problem_table(problems: Sequence[tuple[str, Problem]]) -> Dataset:
    from datasets import Dataset, Features, Value

    columns = {key: [getattr(problem, key) for _, problem in problems] for key in PROBLEM_FIELDS}
    features = {LEVEL: Value("string"), **{key: Value("string") for key in PROBLEM_FIELDS}}
    features["row"] = Value("int64")
    return Dataset.from_dict(
        {LEVEL: [level for level, _ in problems], **columns}, Features(features)
    )
