"""A message's way from the SuperNode, which itself may still be receiving it."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Protocol

from flwr.supercore.inflatable.inflatable_utils import ObjectUnavailableError

LOOK_SECONDS = 1.0  # between two looks whether the SuperNode has gone on, while arrays are missing


class TaskLost(Exception):  # noqa: N818  # a state of affairs
    """The SuperNode has given the task up, was restarted, or cannot hand out its message."""


class RunOver(TaskLost):
    """The task's run ended while its message was on its way: nobody waits for an answer."""

    def __init__(self) -> None:
        super().__init__("its run ended while the message was on its way")


class Interrupted(TaskLost):
    """This process is to end, and the next one beside this SuperNode has the task again."""

    def __init__(self) -> None:
        super().__init__("this process ends before the message has come; the next one takes it")


class Surroundings(Protocol):
    """What a task asks of its process while its message is on its way."""

    def has_gone_on(self, announced: str) -> bool:
        """Whether the SuperNode has announced a further task after that time."""

    def is_stopping(self) -> bool:
        """Whether the process is to end."""


class Arrival:
    """Fetches the objects of a message, of which some are still on their way to the SuperNode.

    Args:
        fetch: Flower's; raises `ObjectUnavailableError` for one that is not there yet.
        announced: when the SuperNode has announced the message's task.
    """

    def __init__(
        self, fetch: Callable[[str], bytes], announced: str, surroundings: Surroundings
    ) -> None:
        self._fetch = fetch
        self._announced = announced
        self._surroundings = surroundings
        self._lock = Lock()  # several threads fetch
        self._look = time.monotonic() + LOOK_SECONDS

    def __call__(self, object_id: str) -> bytes:
        """The object.

        Raises:
            ObjectUnavailableError: it is not there yet.
            ObjectPullError: the SuperNode knows it no longer.
            RunOver: it never will be there.
            Interrupted: it is waited for no longer.
        """
        try:
            return self._fetch(object_id)
        except ObjectUnavailableError:
            with self._lock:
                if self._surroundings.is_stopping():
                    raise Interrupted from None
                if time.monotonic() > self._look:
                    self._look = time.monotonic() + LOOK_SECONDS
                    if self._surroundings.has_gone_on(self._announced):
                        raise RunOver from None
            raise
