"""Files that somebody else has written: whatever is wrong with one is an OSError or a ValueError.

A file is read when it is a regular one, since a pipe or a device may never end, and a parquet file
when what it unpacks to is in proportion to its size.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_FIELDS = 200  # of a record; the tables' time grows with their square
MOST_TIMES = 200  # as many bytes as the file has may come out of it ...
ALWAYS = 1 << 26  # ... and 64 MiB out of every file
MOST_ROWS = 4  # for each byte of a file, and ...
SOME_ROWS = 10_000  # ... so many in every file


def parse_json(text: str, object_hook: Callable[[Any], Any] | None = None) -> Any:
    """The value of a text.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or has a half of a surrogate pair, which no
            other file can hold.
    """
    try:
        value = json.loads(text, object_hook=object_hook)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("it has half of a surrogate pair, such as \\ud800") from error
    return value


def regular(path: Path) -> Path:
    """The path of a regular file.

    Raises:
        OSError: it is none.
    """
    if not path.is_file():
        raise OSError("it is no regular file")
    return path


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        OSError: it is no regular file, or cannot be read.
        ValueError: it is no UTF-8.
    """
    return regular(path).read_text(encoding="utf-8")


def parquet_batches(
    path: Path, rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a parquet file, so many at a time.

    Args:
        path: the file.
        rows: of a batch.
        columns: those that are read; None: all.

    Raises:
        OSError: it is no regular file, or cannot be read.
        ValueError: it is no parquet, or unpacks to more than a file of its size may.
    """
    size = regular(path).stat().st_size
    most = max(ALWAYS, MOST_TIMES * size)
    # Equal texts come as one: what they would unpack to is known before they are.
    texts = [field.name for field in pq.read_schema(path) if _is_text(field.type)]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        facts = file.metadata
        groups = (facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
        _require(facts.num_rows, max(SOME_ROWS, MOST_ROWS * size), "rows", size)
        _require(sum(groups), most, "bytes", size)
        unpacked = 0
        for batch in file.iter_batches(rows, columns=None if columns is None else list(columns)):
            unpacked += sum(map(_bytes, batch.columns))
            _require(unpacked, most, "bytes", size)
            yield batch


def _require(number: int, most: int, what: str, size: int) -> None:
    if number > most:
        raise ValueError(f"its {size} bytes unpack to {number} {what}, more than {most}")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _bytes(column: pa.Array) -> int:
    is_one = isinstance(column, pa.DictionaryArray)
    if not is_one or not _is_text(column.dictionary.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
