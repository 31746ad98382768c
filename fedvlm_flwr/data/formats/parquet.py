"""Parquet, as the Hugging Face hub keeps it: with pictures inside, and classes by number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fedvlm_flwr.data.foreign import parquet_batches, regular
from fedvlm_flwr.data.formats.base import Table, Values
from fedvlm_flwr.errors import DataError

ENDINGS: tuple[str, ...] = (".parquet",)
AT_ONCE = 64  # rows; one may hold a picture of megabytes
UNREADABLE = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


def read(path: Path) -> Table:
    """See `fedvlm_flwr.data.formats`; a class is its name, where the file tells names."""
    try:
        schema = pq.read_schema(regular(path))
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    return Table(list(dict.fromkeys(schema.names)), _rows(path, schema))


def _rows(path: Path, schema: pa.Schema) -> Iterator[Values]:
    from datasets import ClassLabel, Features

    try:
        # After the columns have been counted: it takes the square of their number.
        features = Features.from_arrow_schema(schema)
        names = {name: one.names for name, one in features.items() if isinstance(one, ClassLabel)}
        singles = [name for name, one in features.items() if getattr(one, "dtype", "") == "float32"]
        for batch in parquet_batches(path, AT_ONCE):
            for row in batch.to_pylist():
                own = {key: _name(row[key], classes) for key, classes in names.items()}
                yield row | own | {key: _short(row[key]) for key in singles}
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _name(number: Any, names: list[str]) -> str | None:
    """The class of a number; the hub writes -1 for none."""
    return None if number is None or number < 0 else names[number]


def _short(number: float | None) -> float | None:
    """The shortest number that is the same in single precision: 0.1, not 0.10000000149."""
    return None if number is None else float(str(np.float32(number)))


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as parquet ({error}); write it again.")
