"""Importing large packages: nothing that they bring is garbage, so nobody looks for any."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = "transformers"  # the largest package of a run; what goes before it is small


@contextmanager
def first_import() -> Iterator[None]:
    """Have the garbage collector rest while the block imports, and pass over what is there then.

    torch and transformers make some hundred thousand objects that stay until the process ends.
    Python's collector would go through them again and again: a fifth of the import, and a quarter
    of a second in each full collection afterwards. Where they are loaded already nothing is done:
    objects that are passed over are never collected, and those of an earlier run should be.
    """
    if LARGE in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
