"""What a run's processes tell, in the run's own log."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def logging_into(name: str, path: Path) -> Iterator[None]:
    """Have what a logger of this process tells in a file, and not on the terminal."""
    logger, handler = logging.getLogger(name), logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
    handlers, propagates = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagates
        handler.close()


def print_into(path: Path) -> None:
    """Have all that this process prints go to the end of a file, by whatever code."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
