"""Built tables kept on disk as Arrow files, so that the next process maps them into memory."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.paths import share

if TYPE_CHECKING:
    from datasets import Dataset

MANIFEST = "sha256.json"


def cached_tables(folder: Path, build: Callable[[], Mapping[str, Dataset]]) -> dict[str, Dataset]:
    """Return the tables kept in `folder`, after building and writing them where there are none.

    The folder appears at once and complete, so many processes may ask for it at the same time:
    the first to finish wins and the others read its files.

    Args:
        folder: its name must change with everything that determines the tables.
        build: makes the tables, by name.

    Raises:
        DataError: the folder cannot be written, or its files are not the ones that were written;
            names the folder. Nothing damaged is rebuilt silently.
    """
    if not folder.is_dir():
        try:
            _write(folder, build())
        except OSError as error:
            raise DataError(
                f"The tables cannot be kept in {folder} ({error}); make room there or set "
                "FEDVLM_HOME to another folder."
            ) from error
    return read_tables(folder)


def _write(folder: Path, tables: Mapping[str, Dataset]) -> None:
    from datasets.arrow_writer import ArrowWriter

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        digests = {}
        for name, table in tables.items():
            path = temporary / f"{name}.arrow"
            with ArrowWriter(features=table.features, path=str(path)) as writer:
                writer.write_table(table.with_format("arrow")[:])
                writer.finalize()
            digests[name] = _sha256(path)
        (temporary / MANIFEST).write_text(json.dumps(digests), encoding="utf-8")
        share(temporary)
        try:
            temporary.replace(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first, with the same tables
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_tables(folder: Path) -> dict[str, Dataset]:
    """The tables that were written to `folder`.

    Raises:
        DataError: its files are not the ones that were written; names the folder.
    """
    try:
        digests = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name, digest in digests.items():
            # Arrow itself takes a file cut between two blocks for a shorter table.
            if _sha256(folder / f"{name}.arrow") != digest:
                raise ValueError(f"{name}.arrow has changed")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"The cached tables in {folder} are damaged ({error}); delete that folder and they "
            "will be built again."
        ) from error
    from datasets import Dataset

    return {name: Dataset.from_file(str(folder / f"{name}.arrow")) for name in digests}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
