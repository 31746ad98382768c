"""Which records are the test set, where no file says it, and which are kept together."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fedvlm_flwr.data.contents import contents
from fedvlm_flwr.data.layout import TEST, TRAIN
from fedvlm_flwr.data.records import FURTHER, KEYS, REFERENCES, UNIT, Records, Row
from fedvlm_flwr.data.units import joined
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.seeding import stream

PEOPLE = re.compile(r"(patient|subject|study|mrn)(id|instanceuid|uid|no|nr|number)?")


def with_splits(
    records: Records, root: Path, pictures: Path, fraction: float, seed: int
) -> Records:
    """The records with the test set drawn, where none of them is in it.

    It is drawn from those that are for training or of no split, by picture, or by what is kept
    together. Pictures that are one file under several names are one picture, and so are those that
    a record shows together.

    Args:
        root: of the tables, for messages.
        pictures: the folder that pictures are relative to.
        fraction: part of the pictures that is drawn.
        seed: of the draw.

    Raises:
        DataError: some tell a split and others none; names a file of those.
    """
    rows = records.rows
    without = next((row.file for row in rows if not row.split), None)
    if without is not None and any(row.split for row in rows):
        raise DataError(
            f"{without} has records that tell no split, and other records of {root} do; name it "
            "train, validation or test, give every row a 'split', or leave it out with "
            "dataset.files=[<the tables>]."
        )
    if any(row.split == TEST for row in rows):
        return records
    free = [row for row in rows if row.split in ("", TRAIN) and (row.pictures or not row.problem)]
    twins = _twins(free, pictures)
    groups = joined([*(row.pictures for row in free), *twins])
    unit_of = {
        id(row): str(row.record.get(UNIT) or group)
        for row, group in zip(free, groups, strict=False)
    }
    names = sorted(set(unit_of.values()))
    test: set[str] = set()
    if names:
        count = max(1, round(fraction * len(names)))
        test = set(stream(seed, "test pictures").choice(names, count, replace=False).tolist())
    result = [
        replace(row, split=TEST if unit_of.get(id(row)) in test else row.split or TRAIN)
        for row in rows
    ]
    notes = [f"no file names a test set: {fraction:.0%} of the pictures are drawn for it"]
    if twins:
        count = sum(map(len, twins))
        notes.append(f"{count:,} pictures are {len(twins):,} files under several names")
    return replace(records, rows=result, notes=[*records.notes, *notes])


def _twins(rows: Sequence[Row], folder: Path) -> list[list[str]]:
    """The names of each picture that has several."""
    names_of: dict[str, list[str]] = {}
    names = {name for row in rows for name in row.pictures}
    for path, content in sorted(contents({folder / name for name in names}).items()):
        names_of.setdefault(content, []).append(path.relative_to(folder).as_posix())
    return [own for own in names_of.values() if len(own) > 1]


def grouped(records: Records, column: str) -> Records:
    """The records with those of one value of a column kept together; one without is bad.

    Raises:
        ConfigError: no file has the column.
    """
    if not any(column in row.record for row in records.rows):
        names = sorted(
            {name for row in records.rows for name in row.record} - {FURTHER, REFERENCES, *KEYS}
        )
        raise ConfigError(
            f"dataset.group_by={column} is no column of the tables; choose one of: "
            f"{', '.join(names)}."
        )
    rows = [
        replace(row, record={**row.record, UNIT: value})
        if (value := row.record.get(column, ""))
        else replace(row, problem=row.problem or f"it has no {column}, which keeps it together")
        for row in records.rows
    ]
    return replace(records, rows=rows)


def straddling(records: Records) -> Iterator[str]:
    """A note for each column that names patients or studies of both training and test records."""
    names = {name for row in records.rows for name in row.record}
    for column in sorted(n for n in names if PEOPLE.fullmatch(re.sub("[^a-z]", "", n.lower()))):
        values = {
            split: {row.record.get(column, "") for row in records.rows if row.split == split}
            for split in (TRAIN, TEST)
        }
        both = (values[TRAIN] & values[TEST]) - {""}
        if both:
            yield (
                f"{len(both):,} values of '{column}' stand in both the training and the test set; "
                f"keep each on one side with dataset.group_by={column}"
            )
