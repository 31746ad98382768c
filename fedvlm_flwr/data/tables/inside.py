"""Pictures: files that a table names, or bytes inside the table that become files in the cache."""

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fedvlm_flwr.data.layout import picture_path
from fedvlm_flwr.data.records import MOST_PICTURES
from fedvlm_flwr.data.tables.values import is_missing
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.encoded import ending_of

SHORTEST = 100  # characters that the smallest picture takes in base64; a path ends before its 260th


def holds_bytes(value: Any) -> bool:
    """Whether a picture stands in the table itself."""
    if isinstance(value, list):
        return bool(value) and holds_bytes(value[0])
    return _bytes_of(value) is not None


class Pictures:
    """The pictures of a folder's tables.

    Args:
        root: the dataset's folder.
        cache: where pictures from inside the tables go, each once, by its content; None: the
            tables name files.
    """

    def __init__(self, root: Path, cache: Path | None) -> None:
        self._root = root
        self._cache = cache

    @property
    def folder(self) -> Path:
        """What the paths of pictures are relative to."""
        return self._cache or self._root

    def take(self, value: Any, table: Path) -> list[str]:
        """A record's pictures, as paths relative to the dataset's folder or the cache.

        A named file is looked for below the folder, beside its table and below `image/` and
        `images/`.

        Raises:
            DataError: some are missing and others not, one lies outside the folder or is not of
                the kind of the others; no whole sentence.
        """
        several = value if isinstance(value, list) else [value]
        missing = sum(is_missing(one) for one in several)
        if missing == len(several):
            return []
        if missing:
            raise DataError(f"{missing} of its {len(several)} pictures are missing; name each")
        if len(several) > MOST_PICTURES:
            raise DataError(f"it shows {len(several)} pictures; {MOST_PICTURES} are the most")
        return [self._one(one, table) for one in several]

    def _one(self, value: Any, table: Path) -> str:
        data = _bytes_of(value)
        if (data is not None) != (self._cache is not None):
            raise DataError(
                "its picture stands in the table and others' are files, or the other way round; "
                "make two datasets of them"
            )
        if data is not None:
            return self._file_of(data)
        name = value.get("path") if isinstance(value, Mapping) else value
        if not isinstance(name, str) or is_missing(name):
            raise DataError(f"its picture is {value!r:.60}; name a file")
        return self._named(name, table)

    def _file_of(self, data: bytes) -> str:
        assert self._cache is not None
        name = hashlib.sha256(data).hexdigest()[:32] + ending_of(data)
        path = self._cache / name
        if not path.exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_name(f".{name}.{os.getpid()}")
                partial.write_bytes(data)
                partial.replace(path)
            except OSError as error:
                raise DataError(
                    f"its picture cannot be written to {path} ({error}); make room there or set "
                    "FEDVLM_HOME to another folder"
                ) from error
        return name

    def _named(self, name: str, table: Path) -> str:
        plain = name.strip().removeprefix("file://")
        if "\\" in plain and not os.path.isfile(self._root / plain):  # noqa: PTH113
            plain = plain.replace("\\", "/")  # as Windows writes it
        path = PurePosixPath(os.path.normpath(plain))
        if path.is_absolute():
            if not path.is_relative_to(self._root):
                raise DataError(
                    f"its picture {name!r:.120} lies outside {self._root}; move it below, or write "
                    "its path relative to the folder"
                )
            path = path.relative_to(self._root)
        inner = table.parent.relative_to(self._root)
        beside = (inner / path).as_posix()
        # A metadata file names the pictures beside it, whatever lies elsewhere under that name.
        if inner.parts and os.path.isfile(self._root / beside):  # noqa: PTH113
            return beside
        return picture_path(self._root, path.as_posix())


def _bytes_of(value: Any) -> bytes | None:
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or len(value) < SHORTEST:
        return None
    text = value.partition("base64,")[2] if value.startswith("data:image/") else value
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
