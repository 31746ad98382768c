"""Pictures that are the same file under several names."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_ISREG
from typing import TypeVar

From = TypeVar("From")
To = TypeVar("To")


def contents(paths: Collection[Path]) -> dict[Path, str]:
    """What each file holds, as a text that only files of the same bytes share.

    A file is read only where another one has its size. What cannot be read is left out. A picture
    that was saved anew, in another format or quality, is another file.
    """
    in_order = sorted(paths)
    of_size: dict[int, list[Path]] = {}
    for path, size in zip(in_order, in_parallel(_size, in_order), strict=True):
        if size is not None:
            of_size.setdefault(size, []).append(path)
    alike = [path for own in of_size.values() if len(own) > 1 for path in own]
    digests = zip(alike, in_parallel(_digest, alike), strict=True)
    alone = {own[0]: f"{size} bytes" for size, own in of_size.items() if len(own) == 1}
    return alone | {path: digest for path, digest in digests if digest}


def in_parallel(work: Callable[[From], To], items: Iterable[From]) -> Iterator[To]:
    """Results in order; decoding and hashing leave Python's lock, so threads use all cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(work, items, chunksize=1)


def _size(path: Path) -> int | None:
    try:
        facts = path.stat()
    except (OSError, ValueError):  # the check of the records tells it
        return None
    return facts.st_size if S_ISREG(facts.st_mode) else None  # a pipe would never end


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
