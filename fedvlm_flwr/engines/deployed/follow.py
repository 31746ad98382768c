"""The following of a run at a SuperLink until it is known how it ended."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedvlm_flwr.engines.deployed.connection import Connection, NoAnswerError, State
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.log_stream import LogReceiver

PAUSE_SECONDS = 2.0  # between two attempts to reach a SuperLink


def follow(
    connection: Connection,
    run: str,
    receiver: LogReceiver,
    log_file: Path,
    patience: float,
    on_place: Callable[[str], None],
) -> State:
    """Take in a run's log until the SuperLink says that the run has ended; how it ended.

    Args:
        log_file: takes the lines that are not ours.
        patience: seconds for which the SuperLink may stay silent.
        on_place: called when the run's folder over there is told.

    Raises:
        RunError: the SuperLink is silent for longer, or has lost the run.
    """
    finished, log = False, _Log(log_file)
    while True:
        with connection.log(run) as lines:
            _read(lines, receiver, log, on_place)
        state = _state(connection, run, patience)
        whole = receiver.last is not None and not receiver.missing()
        if finished or (state.is_finished and whole):
            return state
        finished = state.is_finished  # then the log is read once more: its last lines come late
        time.sleep(PAUSE_SECONDS)


class _Log:
    """A file of log lines that are read several times from the first, and written once."""

    def __init__(self, path: Path) -> None:
        self._path, self._length = path, 0

    @contextmanager
    def read_again(self) -> Iterator[Callable[[str], None]]:
        """What takes the lines from the first, until the block ends."""
        count = 0
        with self._path.open("a", encoding="utf-8") as file:

            def take(line: str) -> None:
                nonlocal count
                count += 1
                if count > self._length:
                    self._length = count
                    file.write(line)
                    file.flush()

            yield take


def _read(
    lines: Iterable[str], receiver: LogReceiver, log: _Log, on_place: Callable[[str], None]
) -> None:
    """Read the log from its beginning to where it ends now."""
    with log.read_again() as keep:
        for line in lines:
            before = receiver.place
            if not receiver.take(line) and line.strip():
                keep(line)
            if receiver.place != before and receiver.place:
                on_place(receiver.place)


def _state(connection: Connection, run: str, patience: float) -> State:
    deadline = time.monotonic() + patience
    while True:
        try:
            state = connection.state(run)
        except NoAnswerError as error:
            if time.monotonic() > deadline:
                raise RunError(
                    f"The SuperLink of engine.connection={connection.name} ({connection.address}) "
                    f"has not answered for {patience:g} s ({error}); whether the run goes on there "
                    "is not known."
                ) from error
            time.sleep(PAUSE_SECONDS)
            continue
        if state is None:
            raise RunError(
                f"The SuperLink of engine.connection={connection.name} ({connection.address}) "
                f"knows of no run {run} any more: it was started anew without its database "
                "(`flower-superlink --database`)."
            )
        return state
