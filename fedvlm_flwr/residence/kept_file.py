"""A file of a resident process that outlives it, for the next one beside the same SuperNode."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from fedvlm_flwr.paths import writable_home


class KeptFile:
    """A file that the user alone can read."""

    NAME = ""  # with the SuperNode's address, of each subclass

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, address: str) -> Self:
        """Of the resident process beside the SuperNode at an address."""
        name = "".join(each if each.isalnum() else "_" for each in address)
        return cls(writable_home() / "residence" / cls.NAME.format(name))

    @contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """Write it so that it outlives this process; the machine's end is the SuperNode's.

        Raises:
            OSError: it cannot be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            yield file
        partial.replace(self._path)

    def clear(self) -> None:
        """It is needed no longer."""
        self._path.unlink(missing_ok=True)
