"""Flower's simulation on Ray, in a SuperLink of the run's own that ends with it."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from fedvlm_flwr.config import Engine, Scalar
from fedvlm_flwr.engines import App
from fedvlm_flwr.errors import RunError

SEPARATE_PROCESSES = True
START_SECONDS = 60.0
STOP_SECONDS = 10.0
CONNECTION = "fedvlm"

# A daemon that answers on Flower's fixed ports may belong to anyone and keeps the environment it
# was started with; a SuperLink of our own has our ports, our home and our environment.
ENVIRONMENT = {
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "PYTHONUNBUFFERED": "1",
}


def run(
    app: App,
    run_config: Mapping[str, Scalar],
    engine: Engine,
    num_nodes: int,
    log_file: Path,
) -> None:
    """Run the app as a Flower simulation and wait for its end. See `engines.run_app`.

    Raises:
        RunError: the SuperLink does not start, or the run does not end as completed.
    """
    home = Path(tempfile.mkdtemp(prefix="fedvlm-flwr-"))
    # Flower starts its own commands by name, and the environment need not be activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, **ENVIRONMENT, "FLWR_HOME": str(home), "PATH": path}
    try:
        with log_file.open("ab") as log, _superlink(home, environment, log_file) as port:
            _write_connection(home, port)
            config_file = home / "run-config.toml"
            config_file.write_text(
                "".join(f"{_toml(k)} = {_toml(v)}\n" for k, v in run_config.items()),
                encoding="utf-8",
            )
            federation = (
                f"num-supernodes={num_nodes} "
                f"client-resources-num-cpus={engine.cpus_per_client} "
                f"client-resources-num-gpus={engine.gpus_per_client}"
            )
            command = [
                *_flwr("run"),
                str(app.folder),
                CONNECTION,
                "--stream",
                "--run-config",
                str(config_file),
                "--federation-config",
                federation,
            ]
            code = subprocess.run(
                command, env=environment, stdout=log, stderr=log, check=False
            ).returncode
            status = _status(environment) if code == 0 else f"`flwr run` exited with {code}"
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if status != "finished:completed":
        raise RunError(f"The Flower run ended as '{status}'; its log is {log_file}.")


def _toml(value: Scalar) -> str:
    """A value in TOML: JSON's form, its letters as they are (TOML knows no pairs of escapes)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _flwr(*arguments: str) -> list[str]:
    """The `flwr` command of this very environment, found beside its Python."""
    return [_script("flwr"), *arguments]


def _script(name: str) -> str:
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


@contextmanager
def _superlink(home: Path, environment: Mapping[str, str], log_file: Path) -> Iterator[int]:
    """A SuperLink in simulation mode; yields its port, and ends it with all its children."""
    port = free_port()
    command = [
        _script("flower-superlink"),
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
    try:
        _wait_until_up(process, port, log_file)
        yield port
    finally:
        _stop_tree(process.pid)
        process.wait()


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Ask Linux to end this child when its parent dies, even by a kill that runs no code."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_up(process: "subprocess.Popen[bytes]", port: int, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RunError(
                f"Flower's SuperLink exited with {process.returncode}; its log is {log_file}."
            )
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RunError(f"Flower's SuperLink did not start in {START_SECONDS:g} s; see {log_file}.")


def _stop_tree(pid: int) -> None:
    """End a process and everything it has started, kindly at first."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for process in alive:
        _signal(process, signal.SIGKILL)


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _write_connection(home: Path, port: int) -> None:
    lines = (
        "[superlink]",
        f'default = "{CONNECTION}"',
        f"[superlink.{CONNECTION}]",
        f'address = "127.0.0.1:{port}"',
        "insecure = true",
    )
    (home / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _status(environment: Mapping[str, str]) -> str:
    """The status of the SuperLink's one run, e.g. `finished:completed`."""
    deadline = time.monotonic() + STOP_SECONDS
    while True:
        listing = subprocess.run(
            [*_flwr("list"), CONNECTION, "--format", "json"],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            runs = json.loads(listing.stdout)["runs"]
            status = str(runs[0]["status"])
        except (ValueError, KeyError, IndexError) as error:
            text = (listing.stdout + listing.stderr).strip()
            raise RunError(f"`flwr list` does not tell how the run ended: {text}") from error
        if status.startswith("finished") or time.monotonic() > deadline:
            return status
        time.sleep(1.0)
