"""Rows of a user's table: JSON lines or parquet."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fedvlm_flwr.errors import DataError

ENDINGS = (".jsonl", ".parquet")
AT_ONCE = 1024  # rows of a parquet file


def read_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a file, as mappings from column to value.

    Raises:
        DataError: it cannot be read; names the file, and the line where there is one.
    """
    return _parquet(path) if path.suffix == ".parquet" else _json_lines(path)


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        for batch in pq.ParquetFile(path).iter_batches(AT_ONCE):
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as parquet ({error}); write it again.") from error


def _json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines knows further ends
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text ({error}); write it as such.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"Line {number} of {path} is no JSON ({error}); write one object a line."
            ) from error
        if not isinstance(record, dict):
            raise DataError(f"Line {number} of {path} is no object; write one object a line.")
        yield record
