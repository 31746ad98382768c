"""Tell the SuperNode from time to time that a task is being worked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import WARNING

from flwr.common.logger import log

SECONDS = 15.0  # a task that nothing is heard of is given up after 30 s, later after 60 s


@contextmanager
def beating(beat: Callable[[], bool], seconds: float = SECONDS) -> Iterator[None]:
    """Beat in a thread of its own while the block runs.

    Flower's own sender interrupts its process where the SuperNode has given the task up, which
    would end this one with its model; here the work goes on, and its reply is refused.

    Args:
        beat: false where the task was given up, after which there are no more beats.
    """
    done = threading.Event()

    def run() -> None:
        while not done.wait(seconds):
            if not beat():
                log(WARNING, "The SuperNode has given this task up; its reply will not be sent.")
                return

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(seconds)
