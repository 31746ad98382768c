"""What an engine leaves running for the next run in its process, where somebody ends it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Keeper:
    """Holds what one run has left running until another takes it, or until its own end."""

    def __init__(self) -> None:
        self._key: object = None
        self._held: Any = None
        self._end: Callable[[], object] = lambda: None

    def take(self, key: object) -> Any:
        """What is held under a key, and no longer held; None: nothing is. What is not, is ended."""
        held = self._held if self._key == key else None
        if held is None:
            self.end()
        self._key = self._held = None
        return held

    def keep(self, key: object, held: object, end: Callable[[], object]) -> None:
        """Hold what somebody else may take.

        Args:
            key: says for whom it does.
            end: ends it.
        """
        self._key, self._held, self._end = key, held, end

    def end(self) -> None:
        """End what is held."""
        if self._held is not None:
            self._key = self._held = None
            self._end()


_keeper: Keeper | None = None  # of this process


def keeper() -> Keeper | None:
    """Who holds what is left running; None: everybody ends what they have started."""
    return _keeper


@contextmanager
def keeping() -> Iterator[None]:
    """Have engines leave running what a further run in this process needs too, until the end."""
    global _keeper  # a process has one, as it has one Ray
    before, _keeper = _keeper, Keeper()
    try:
        yield
    finally:
        own, _keeper = _keeper, before
        own.end()
