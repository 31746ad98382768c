"""A process beside a run on Ray, for what the run itself can no longer tell.

Ray ends the process that has started it when its raylet or one of its agents ends, and holds
Python's lock while it waits for a process of its own: neither raises an error, and no signal's
handler runs. The guard is a program that needs psutil alone. It follows the run by its input: a
word once Ray is there, another at a proper end, and the input's end where the run's process is
gone.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

LIMIT = 300.0  # seconds in which Ray is there, or tells that it does not start
LOOK = 5.0  # seconds between two looks at what the run has started
THERE, OVER = "there", "over"
ENDED = "The run's process was ended from outside, or by Ray, of which a process has ended."


@dataclass(frozen=True)
class Words:
    """What is said of a run, before it has begun and afterwards.

    Attributes:
        mark: a file that is there once it has begun.
    """

    mark: Path
    before: str
    after: str


class Guard:
    """The guard, from the run's side.

    Args:
        home: a folder of the run's, removed where the run cannot.
        words: how the user goes on.
    """

    def __init__(self, home: Path, words: Words, limit: float = LIMIT) -> None:
        own = [str(os.getpid()), str(limit), home, words.mark, words.before, words.after]
        self._command = [sys.executable, "-P", __file__, *map(str, own)]

    def __enter__(self) -> "Guard":
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, start_new_session=True, text=True, bufsize=1
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._tell(OVER)
        self._process.communicate()

    def lift_limit(self) -> None:
        """Wait no longer for Ray: it is there, or has said why it is not."""
        self._tell(THERE)

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n")
        except BrokenPipeError:  # somebody has killed it: the run goes on without
            return


def watch(run: psutil.Process, limit: float) -> tuple[str, set[psutil.Process]]:
    """Follow a run by this process's input until its end.

    Returns:
        What was wrong, empty after a proper end; and what the process has started since.
    """
    deadline, heard, family = time.monotonic() + limit, b"", set[psutil.Process]()
    guard = psutil.Process()
    while True:
        left = LOOK if THERE.encode() in heard else deadline - time.monotonic()
        if select.select([0], [], [], min(max(left, 0), LOOK))[0]:
            news = os.read(0, 1024)
            heard += news
            if OVER.encode() in heard:
                return "", family
            if not news:
                return ENDED, family
        elif left <= 0:
            run.kill()
            return f"Ray has not started within {limit:g} s, and the run was ended.", family
        with suppress(psutil.NoSuchProcess):  # its input's end is near
            started = run.children(recursive=True)  # before: in a notebook, the user's own
            family |= {each for each in started if each.create_time() >= guard.create_time()}
            family.discard(guard)


def main(pid: str, limit: str, home: str, mark: str, before: str, after: str) -> None:
    """Be the guard of a process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wrong, family = watch(psutil.Process(int(pid)), float(limit))
    if not wrong:
        return
    print(f"error: {wrong} {after if Path(mark).exists() else before}", file=sys.stderr, flush=True)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=LOOK)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
