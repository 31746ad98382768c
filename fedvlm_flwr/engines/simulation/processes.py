"""The engine's processes: whether those that a run cannot live without do, and their end."""

import signal
import subprocess
import time
from pathlib import Path

import psutil

POLL_SECONDS = 0.5
# How long `flwr run` may go on after one of these has ended, as in every good run's last seconds.
GRACE_SECONDS = {
    "flower-superlink": 5.0,
    "flower-superexec": 10.0,
    "flwr-simulation": 10.0,
    "gcs_server": 30.0,
    "raylet": 30.0,
}


class Watch:
    """Looks at a process and its descendants for those that a run cannot live without."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._family: set[psutil.Process] = set()
        self._names: set[str] = set()
        self._missing: dict[str, float] = {}  # since when

    def dead(self) -> str | None:
        """The name of one that ended longer ago than a run's own end takes; None: all is well."""
        now, living = time.monotonic(), self._look()
        self._missing = {n: self._missing.get(n, now) for n in self._names - living}
        self._names |= living
        late = (n for n, since in self._missing.items() if now - since > GRACE_SECONDS[n])
        return next(late, None)

    def _look(self) -> set[str]:
        self._family |= family(self._root)
        names: set[str] = set()
        for process in self._family:
            try:
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    names |= {Path(word).name for word in process.cmdline()[:2]}
            except psutil.NoSuchProcess:
                continue
        return names & GRACE_SECONDS.keys()

    def stop(self, seconds: float) -> None:
        """End all of them, also those whose parent has died, kindly at first.

        Args:
            seconds: before those that still live are killed.
        """
        self._family |= family(self._root)
        for process in self._family:
            _signal(process, signal.SIGTERM)
        _, alive = psutil.wait_procs(self._family, timeout=seconds)
        for process in alive:
            _signal(process, signal.SIGKILL)


def family(pid: int) -> set[psutil.Process]:
    """A process and its descendants; none when it is gone."""
    try:
        root = psutil.Process(pid)
        return {root, *root.children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()


def wait_for(command: "subprocess.Popen[bytes]", watch: Watch) -> str | None:
    """Wait until a command ends, or a process that it needs is dead: then its name.

    The command is ended in any case.
    """
    try:
        while True:
            try:
                command.wait(POLL_SECONDS)
                return None
            except subprocess.TimeoutExpired:
                name = watch.dead()
                if name is not None:
                    return name
    finally:
        command.kill()
        command.wait()


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
