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
    _, first = next(rows, (0, []))
    header = [name.strip(BLANK) for name in first]
    double = [name for name, count in Counter(header).items() if name and count > 1]
    if double:
        raise DataError(f"{path} has two columns called '{double[0]}'; rename one in its header.")
    return Table(header, _named(path, header, rows), typed=False)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, the header first, each with the line that it begins in."""
    csv.field_size_limit(LONGEST)
    with opened(path) as text:
        number, first = next(
            ((i, line) for i, line in enumerate(text, 1) if line.strip(BLANK)), (1, "")
        )
        match = SIGN.fullmatch(first.strip("\ufeff"))
        sign = match[1] if match else _separator(path, first)
        reader = csv.reader(text if match else chain([first], text), delimiter=sign, strict=True)
        before = number if match else number - 1  # lines that the reader does not count
        line = before + 1
        try:
            for row in reader:
                if any(value.strip(BLANK) for value in row):
                    yield line, row
                line = before + reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"The row that begins in line {line} of {path} is no {path.suffix[1:].upper()} "
                f"({error}, in line {before + reader.line_num}); close its quotes, and write a "
                "quote inside a quoted value twice."
            ) from error


def _separator(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(SEPARATORS, key=header.count)


def _named(
    path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[dict[str, str | None]]:
    for number, (line, row) in enumerate(rows, 1):
        if len(row) != len(header):
            ends = sum(value.count("\n") for value in row)
            over = f" and goes on to line {line + ends}, perhaps for a stray quote," if ends else ""
            raise DataError(
                f"Row {number} of {path}, which begins in line {line}{over} has not {len(header)} "
                f"values, as its header has, but {len(row)}; put a value that holds the separator "
                "into quotes."
            )
        yield {name: value or None for name, value in zip(header, row, strict=True) if name}
