"""JSON lines: one object a line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedvlm_flwr.data.formats.base import Table, opened, parse_json
from fedvlm_flwr.errors import DataError

ENDINGS: tuple[str, ...] = (".jsonl", ".ndjson")


def read(path: Path) -> Table:
    """See `fedvlm_flwr.data.formats`; rows need not have the same columns."""
    rows = list(lines(path))
    return Table(list(dict.fromkeys(name for row in rows for name in row)), iter(rows))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line; blank lines are passed over.

    Raises:
        DataError: a line is no object; names it.
    """
    with opened(path) as text:
        for number, line in enumerate(text, 1):
            record = line.strip("\ufeff \t\r\n")  # files put together keep each one's mark
            if not record:
                continue
            where = f"Line {number} of {path}"
            row = parse_json(record, where)
            if not isinstance(row, dict):
                raise DataError(f"{where} is no object; write one object a line.")
            yield row
