"""Rows of a user's table: JSON lines or parquet."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fedvlm_flwr.data.foreign import MOST_FIELDS, parquet_batches, parse_json, regular, text_of
from fedvlm_flwr.errors import DataError

ENDINGS = (".jsonl", ".parquet")
AT_ONCE = 1024  # rows of a parquet file


def read_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a file, as mappings from column to value.

    Raises:
        DataError: it cannot be read; names the file, and the line where there is one.
    """
    return _parquet(path) if path.suffix == ".parquet" else _json_lines(path)


def too_wide(place: Path, fields: int) -> DataError:
    """What is said of a table with more columns than may be."""
    return DataError(
        f"{place} has {fields} columns, more than the {MOST_FIELDS} that a table may have; keep "
        "those that are asked about or that a partition goes by."
    )


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        fields = len(pq.read_schema(regular(path)))
        if fields > MOST_FIELDS:
            raise too_wide(path, fields)
        for batch in parquet_batches(path, AT_ONCE):
            yield from batch.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as parquet ({error}); write it again.") from error


def _json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = text_of(path).split("\n")  # splitlines knows further ends
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); put a table there.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text ({error}); write it as such.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            raise DataError(
                f"Line {number} of {path} is no JSON ({error}); write one object a line."
            ) from error
        if not isinstance(record, dict):
            raise DataError(f"Line {number} of {path} is no object; write one object a line.")
        if len(record) > MOST_FIELDS:
            raise too_wide(path, len(record))
        yield record
