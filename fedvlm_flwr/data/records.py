"""Records as the files of a dataset give them, before they are checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

KEYS = ("id", "image", "conversations", "task")  # of every record
MOST_PICTURES = 64  # of one record; more is a mistake, and no model's sequence holds them
FURTHER = "further_images"  # of a record with several pictures: those after `image`, the first
REFERENCES = "references"  # of a record with several right answers: all of them
UNIT = "__kept_together__"  # of a record that stays with others: what it shares with them


@dataclass(frozen=True, slots=True)
class Row:
    """A record as its file gives it.

    Attributes:
        file: relative to the dataset's root.
        split: "train", "validation" or "test".
        record: `KEYS`, perhaps `FURTHER`, `REFERENCES` and `UNIT`, and any fields; `image` is
            empty where there is no picture.
        problem: why it cannot be a record of the dataset; empty where it can.
    """

    file: str
    split: str
    record: Mapping[str, Any]
    problem: str = ""

    @property
    def name(self) -> str:
        """The record's id."""
        return str(self.record["id"])

    @property
    def pictures(self) -> list[str]:
        """Its pictures in the order in which they are shown."""
        return pictures_of(self.record["image"], self.record.get(FURTHER, ()))


@dataclass(frozen=True, slots=True)
class Records:
    """What the files of a dataset hold.

    Attributes:
        columns: of each file the columns that were taken, by what they hold.
        notes: what was changed in records, or is to be known of them; a line each.
        pictures: the folder that pictures are relative to; None: that of the files.
    """

    rows: Sequence[Row]
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    pictures: Path | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """How many records of a split a file gave, and from which columns."""

    file: str
    split: str
    records: int
    columns: Mapping[str, str]


def pictures_of(first: str, further: Sequence[str]) -> list[str]:
    """The pictures of a record, of which the first is empty where there are none."""
    return [first, *further] if first else []


def pictures_by_row(table: Dataset) -> list[list[str]]:
    """The pictures of each row of a table."""
    names = table["image"][:]
    if FURTHER not in table.column_names:
        return [pictures_of(name, ()) for name in names]
    return [pictures_of(*pair) for pair in zip(names, table[FURTHER][:], strict=True)]


def show_one(table: Dataset) -> bool:
    """Whether every row shows one picture, as every model takes it."""
    return all(len(pictures) == 1 for pictures in pictures_by_row(table))


def counted(pictures: range) -> str:
    """How many pictures a record may show, in words."""
    least, most = pictures[0], pictures[-1]
    return f"exactly {least}" if least == most else f"{least} to {most}"


def sources_of(records: Records) -> list[Source]:
    """What was taken from where, in the order of the files."""
    counts = Counter((row.file, row.split) for row in records.rows)
    return [
        Source(file, split, number, records.columns.get(file, {}))
        for (file, split), number in counts.items()
    ]


def several(notes: Mapping[str, int]) -> Iterable[str]:
    """Counted notes as lines."""
    return (f"{number:,} {what}" for what, number in notes.items())
