"""A JSON list of objects; some tools write JSON lines under this ending, which are read as such."""

from pathlib import Path

from fedvlm_flwr.data.formats import json_lines
from fedvlm_flwr.data.formats.base import Table, opened, parse_json
from fedvlm_flwr.errors import DataError

ENDINGS: tuple[str, ...] = (".json",)


def read(path: Path) -> Table:
    """See `fedvlm_flwr.data.formats`; rows need not have the same columns.

    Raises:
        DataError: the file is neither a list of objects nor JSON lines.
    """
    with opened(path) as file:
        text = file.read()
    if not text.lstrip().startswith("["):
        return json_lines.read(path)
    rows = parse_json(text, str(path))
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"Record {number} of {path} is {row!r:.60}; a record is an object.")
    return Table(list(dict.fromkeys(name for row in rows for name in row)), iter(rows))
