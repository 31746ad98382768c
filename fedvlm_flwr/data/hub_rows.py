"""Rows of a Hugging Face dataset in a folder: parquet files, or what `save_to_disk` wrote.

Nothing is downloaded, no script of the folder runs and no picture is decoded. The split of a
parquet file is the word before the first "-" of its name (`data/train-00000-of-00001.parquet`), its
folder's name where its own is only a number (`default/train/0000.parquet`), or its name
(`train.parquet`).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fedvlm_flwr.data.foreign import parquet_batches, regular
from fedvlm_flwr.data.sources.base import Picture
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.encoded import ending_of

WRITTEN = ("dataset_dict.json", "state.json")  # by save_to_disk: several splits, or one
ROWS = 64  # a batch; a row may hold a picture of a megabyte
UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)


@dataclass(frozen=True)
class _Table:
    """Some rows of one split; `batches` reads the named columns."""

    split: str
    place: str
    columns: list[str]
    batches: Callable[[Sequence[str]], Iterator[Any]]


def is_hub(folder: Path) -> bool:
    """Whether parquet files lie below the folder, or `save_to_disk` wrote it."""
    written = any((folder / name).is_file() for name in WRITTEN)
    return written or any(True for _ in folder.rglob("*.parquet"))


def hub_splits(folder: Path) -> list[str]:
    """The splits of the folder, sorted.

    Raises:
        DataError: the folder is none of a dataset, or cannot be read.
    """
    return sorted({table.split for table in _tables(folder)})


def hub_columns(folder: Path) -> set[str]:
    """The columns that all tables of the folder have.

    Raises:
        DataError: see `hub_splits`.
    """
    return set.intersection(*(set(table.columns) for table in _tables(folder)))


def hub_rows(
    folder: Path, columns: Sequence[str], splits: Collection[str] | None = None
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """The rows of the splits (all where None), in the order of the files' names.

    Returns:
        Split, number of the row in its split from 0, and the row; a picture in it is
        `{"bytes": ..., "path": ...}`, see `HubPictures`.

    Raises:
        DataError: the folder cannot be read, or lacks a column or a split.
    """
    tables = _tables(folder)
    names = sorted({table.split for table in tables})
    for split in splits or ():
        if split not in names:
            raise DataError(
                f"{folder} has no split '{split}' (it has: {', '.join(names)}); change the names "
                "of its splits."
            )
    selection = [table for table in tables if splits is None or table.split in splits]
    for table in selection:
        for name in columns:
            if name not in table.columns:
                raise DataError(
                    f"{table.place} has no column '{name}' (its columns: "
                    f"{', '.join(table.columns)}); take another copy of the dataset."
                )
    number: Counter[str] = Counter()
    for table in selection:
        for row in _rows(table, columns):
            yield table.split, number[table.split], row
            number[table.split] += 1


class HubPictures:
    """The pictures of a folder's rows: equal ones share their bytes and their name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents: dict[str, bytes] = {}

    def take(self, value: Any, where: str) -> tuple[Picture, str]:
        """The picture of a row and a name for its file, which its content decides.

        A value with a path and no bytes is the file at that place below the folder.

        Raises:
            DataError: the value is no picture, or its path leads out of the folder.
        """
        data = value.get("bytes") if isinstance(value, Mapping) else None
        if data:
            name = hashlib.sha256(data).hexdigest()[:20] + ending_of(data)
            return self.contents.setdefault(name, data), name
        path = value.get("path") if isinstance(value, Mapping) else None
        if not path:
            raise DataError(f"{where} holds no picture; take another copy of the dataset.")
        place = PurePosixPath(path)
        if place.is_absolute() or ".." in place.parts:
            raise DataError(
                f"{where} names the picture '{path}' outside {self.folder}; take a copy of the "
                "dataset that holds its pictures."
            )
        return self.folder / place, str(place)


def _tables(folder: Path) -> list[_Table]:
    if any((folder / name).is_file() for name in WRITTEN):
        return _written_tables(folder)
    paths = sorted(folder.rglob("*.parquet"))
    if not paths:
        raise DataError(
            f"{folder} holds no parquet file and was not written by save_to_disk; download the "
            "dataset again."
        )
    return [_parquet_table(path) for path in paths]


def _parquet_table(path: Path) -> _Table:
    def batches(columns: Sequence[str]) -> Iterator[Any]:
        yield from parquet_batches(path, ROWS, columns)

    word = path.stem.partition("-")[0]
    try:
        columns = pq.read_schema(regular(path)).names
    except UNREADABLE as error:
        raise _unreadable(str(path), error) from error
    return _Table(path.parent.name if path.stem.isdigit() else word, str(path), columns, batches)


def _written_tables(folder: Path) -> list[_Table]:
    from datasets import DatasetDict, load_from_disk

    try:
        loaded = load_from_disk(str(folder))
    except UNREADABLE as error:
        raise _unreadable(str(folder), error) from error
    if not isinstance(loaded, DatasetDict):
        if loaded.split is None:
            raise DataError(
                f"The dataset in {folder} does not say which split it is; save a DatasetDict that "
                "names its splits."
            )
        loaded = {str(loaded.split): loaded}
    return [_written_table(folder, split, data) for split, data in loaded.items()]


def _written_table(folder: Path, split: str, data: Any) -> _Table:
    def batches(columns: Sequence[str]) -> Iterator[Any]:
        yield from data.select_columns(list(columns)).with_format("arrow").iter(ROWS)

    return _Table(split, f"The split '{split}' of {folder}", list(data.column_names), batches)


def _rows(table: _Table, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        for batch in table.batches(columns):
            yield from batch.to_pylist()
    except UNREADABLE as error:
        raise _unreadable(table.place, error) from error


def _unreadable(place: str, error: Exception) -> DataError:
    return DataError(f"{place} cannot be read ({error}); download it again.")
