"""A SuperLink of the run's own, and Flower's commands that talk to it."""

import ctypes
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fedvlm_flwr.engines.simulation.processes import Watch
from fedvlm_flwr.errors import RunError

START_SECONDS = 60.0
STOP_SECONDS = 10.0
CONNECTION = "fedvlm"
FINISHED = "finished"


def script(name: str) -> str:
    """A command of this very environment, found beside its Python.

    Raises:
        RunError: it is not installed.
    """
    beside = Path(sys.executable).with_name(name)
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        raise RunError(f"The command {name} is not installed; install flwr[simulation].")
    return path


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody listens on a TCP port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def superlink(home: Path, environment: Mapping[str, str], log_file: Path) -> Iterator[Watch]:
    """A SuperLink in simulation mode, known to `flwr` as CONNECTION; it ends with all its children.

    Raises:
        RunError: it does not start.
    """
    port = free_port()
    command = [
        script("flower-superlink"),
        "--insecure",
        "--simulation",
        "--isolation",
        "subprocess",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=home,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt at the terminal reaches it through us, in order
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # one system call, nothing that can lock
        )
    watch = Watch(process.pid)
    try:
        _wait_until_up(process, port)
        _write_connection(home, port)
        yield watch
    finally:
        watch.stop(STOP_SECONDS)
        process.wait()


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Ask Linux to end this child when its parent dies, even by a kill that runs no code."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_up(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RunError(f"Flower's SuperLink exited with {process.returncode}")
        if listens(port):
            return
        time.sleep(0.1)
    raise RunError(f"Flower's SuperLink did not start in {START_SECONDS:g} s")


def _write_connection(home: Path, port: int) -> None:
    lines = (
        "[superlink]",
        f'default = "{CONNECTION}"',
        f"[superlink.{CONNECTION}]",
        f'address = "127.0.0.1:{port}"',
        "insecure = true",
    )
    (home / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def status(environment: Mapping[str, str], seconds: float = STOP_SECONDS) -> str:
    """The status of the SuperLink's one run, e.g. `finished:completed`.

    Args:
        seconds: to wait for one that is finished.

    Raises:
        RunError: the SuperLink does not say.
    """
    deadline = time.monotonic() + seconds
    while True:
        listing = subprocess.run(
            [script("flwr"), "list", CONNECTION, "--format", "json"],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            runs = json.loads(listing.stdout)["runs"]
            text = str(runs[0]["status"])
        except (ValueError, KeyError, IndexError) as error:
            words = (listing.stdout + listing.stderr).strip()
            raise RunError(f"`flwr list` does not tell how the run ended: {words}") from error
        if text.startswith(FINISHED) or time.monotonic() > deadline:
            return text
        time.sleep(1.0)
