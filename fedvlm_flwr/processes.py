"""Programs, processes and ports of this machine: how they are found, and how they are ended."""

import shutil
import signal
import socket
import sys
from pathlib import Path

import psutil

from fedvlm_flwr.errors import RunError


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


def family(pid: int) -> set[psutil.Process]:
    """A process and its descendants; none when it is gone."""
    try:
        root = psutil.Process(pid)
        return {root, *root.children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()


def lives(process: psutil.Process) -> bool:
    """Whether a process has not ended, waited for by its parent or not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def send(process: psutil.Process, number: int) -> None:
    """Send a signal to a process that may have ended."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def stop_family(pid: int, seconds: float) -> None:
    """End a process and all that it has started, kindly at first.

    Args:
        seconds: before those that still live are killed.
    """
    processes = family(pid)
    for process in processes:
        send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        send(process, signal.SIGKILL)
