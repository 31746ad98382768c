"""CSV and TSV with a header; every value is text, and an empty one is missing."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from fedvlm_flwr.data.formats.base import Table, opened
from fedvlm_flwr.errors import DataError

ENDINGS: tuple[str, ...] = (".csv", ".tsv")
LONGEST = 1 << 30  # characters of one value: a table may hold its pictures as base64
SEPARATORS = ",;\t"
SIGN = re.compile(r"sep=(.)\s*")  # how Excel is told the separator
BLANK = " \t\r\n\ufeff\x1a"


def read(path: Path) -> Table:
    """See `fedvlm_flwr.data.formats`.

    Values of a `.tsv` are parted by tabs, of a `.csv` by the sign that parts most of its header:
    comma, semicolon or tab. Rows without any value are passed over.

    Raises:
        DataError: the header names a column twice.
    """
    rows = _rows(path)
    header = [name.strip(BLANK) for name in next(rows, [])]
    double = [name for name, count in Counter(header).items() if name and count > 1]
    if double:
        raise DataError(f"{path} has two columns called '{double[0]}'; rename one in its header.")
    return Table(header, _named(path, header, rows))


def _rows(path: Path) -> Iterator[list[str]]:
    """The rows that hold something, the header first."""
    csv.field_size_limit(LONGEST)
    with opened(path) as text:
        first = next((line for line in text if line.strip(BLANK)), "")
        match = SIGN.fullmatch(first.strip("\ufeff"))
        sign = match[1] if match else _separator(path, first)
        reader = csv.reader(text if match else chain([first], text), delimiter=sign, strict=True)
        try:
            yield from (row for row in reader if any(value.strip(BLANK) for value in row))
        except csv.Error as error:
            raise DataError(
                f"Line {reader.line_num} of {path}, or the one behind it, is no "
                f"{path.suffix[1:].upper()} ({error}); write the table again."
            ) from error


def _separator(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(SEPARATORS, key=header.count)


def _named(
    path: Path, header: list[str], rows: Iterator[list[str]]
) -> Iterator[dict[str, str | None]]:
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(
                f"Row {number} of {path} has not {len(header)} values, as its header has, but "
                f"{len(row)}; put a value that holds the separator into quotes."
            )
        yield {name: value or None for name, value in zip(header, row, strict=True) if name}
