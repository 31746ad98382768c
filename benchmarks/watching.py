"""A command and all that it starts, looked at from outside: CPU seconds and memory."""

from collections.abc import Callable

import psutil

from fedvlm_flwr.processes import family

KindOf = Callable[[list[str]], str]


class Watched:
    """A process and its descendants, those that have ended since the last look included.

    Args:
        kind_of: what a process is, by the words of its command line; empty: as at the look before.

    Attributes:
        memory: the most that a process of each kind has held, resident, in MB.
    """

    def __init__(self, pid: int, kind_of: KindOf) -> None:
        self._pid, self._kind_of = pid, kind_of
        self._seconds: dict[psutil.Process, float] = {}
        self._kinds: dict[psutil.Process, str] = {}
        self.memory: dict[str, float] = {}

    def look(self) -> float:
        """CPU seconds so far, without those that began and ended between two looks."""
        for process in family(self._pid):
            try:
                times, memory = process.cpu_times(), process.memory_info().rss / 1e6
                kind = self._kind_of(process.cmdline()) or self._kinds.get(process, "")
            except psutil.Error:  # it has ended
                continue
            self._kinds[process], self._seconds[process] = kind, times.user + times.system
            self.memory[kind] = max(self.memory.get(kind, 0.0), memory)
        return sum(self._seconds.values())

    @property
    def seconds(self) -> dict[str, float]:
        """CPU seconds at the last look, by kind."""
        result: dict[str, float] = {}
        for process, seconds in self._seconds.items():
            result[self._kinds[process]] = result.get(self._kinds[process], 0.0) + seconds
        return result
