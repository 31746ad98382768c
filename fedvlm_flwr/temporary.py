"""Temporary folders of a living process; those that killed ones have left are removed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedvlm_flwr.errors import RunError

PREFIX = "fedvlm-flwr-"
OWNER = ".owner"  # locked by the process that the folder belongs to, for as long as it lives


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder of this process that is gone after the block; leftovers beside it are removed.

    Args:
        parent: where it is made; None: the system's place for temporary files (`$TMPDIR`).

    Raises:
        RunError: it cannot be made.
    """
    try:
        place = Path(tempfile.gettempdir()) if parent is None else parent
        remove_leftovers(place)
        folder, owner = _owned(place)
    except OSError as error:
        raise RunError(
            f"No temporary folder can be made ({error.strerror or error}: "
            f"{error.filename or parent}); set TMPDIR to a folder that you can write to, with "
            "some room."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(owner)


def remove_leftovers(parent: Path) -> None:
    """Remove the folders of processes that are dead; those of others and of old versions stay."""
    for marker in parent.glob(f"{PREFIX}*/{OWNER}"):
        if os.access(marker, os.W_OK) and (owner := _lock(marker, fcntl.LOCK_NB)) is not None:
            shutil.rmtree(marker.parent, ignore_errors=True)
            os.close(owner)


def _owned(parent: Path) -> tuple[Path, int]:
    """A new folder, and the open file by which others see that its owner lives."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX))
        (folder / OWNER).touch()
        owner = _lock(folder / OWNER, 0)
        if owner is not None:  # else another process took it for a leftover between two lines
            return folder, owner


def _lock(marker: Path, flags: int) -> int | None:
    """The locked file; None where another process has it, or has removed it meanwhile."""
    try:
        file = os.open(marker, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | flags)
        if marker.exists():
            return file
    except BlockingIOError:
        pass
    os.close(file)
    return None
