"""CSV and TSV with a header; every value is text, and an empty one is missing."""

import csv
from collections.abc import Iterator
from pathlib import Path

from fedvlm_flwr.data.formats.base import Table, opened
from fedvlm_flwr.errors import DataError

ENDINGS: tuple[str, ...] = (".csv", ".tsv")
LONGEST = 1 << 30  # characters of one value: a table may hold its pictures as base64


def read(path: Path) -> Table:
    """See `fedvlm_flwr.data.formats`.

    Values of a `.tsv` are parted by tabs, of a `.csv` by commas, or by semicolons where its header
    has those and no comma.
    """
    csv.field_size_limit(LONGEST)
    with opened(path) as text:
        header = text.readline()
    tabs = path.suffix.lower() == ".tsv"
    delimiter = "\t" if tabs else ";" if ";" in header and "," not in header else ","
    columns = next(csv.reader([header.rstrip("\r\n")], delimiter=delimiter), [])
    return Table(columns, _rows(path, delimiter))


def _rows(path: Path, delimiter: str) -> Iterator[dict[str, str | None]]:
    with opened(path) as text:
        reader = csv.DictReader(text, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    count = len(reader.fieldnames or ())
                    raise DataError(
                        f"Line {reader.line_num} of {path} has not {count} values, as its header "
                        "has; put a value that holds the separator into quotes."
                    )
                yield {key: value or None for key, value in row.items()}
        except csv.Error as error:
            raise DataError(
                f"Line {reader.line_num} of {path} is no {path.suffix[1:].upper()} ({error}); "
                "write the table again."
            ) from error
