"""A whole deployment on one machine, of real processes: for tests, benchmarks and the demo.

    with superlink(folder) as server:
        site = Site(server, "north", 'site="north" data-root="/data/north"')
        with started(site):
            result = run(server, "experiment=smoke", "num_rounds=1")

Every process has free ports and homes of its own below `folder`, and is ended with all that it has
started, by its id.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from fedvlm_flwr.engines.actors.environment import FIXED, without_proxy
from fedvlm_flwr.processes import family, free_port, listens, script, stop_family
from fedvlm_flwr.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
CERTIFICATES = ROOT / "deploy" / "trial_certificates.sh"
CONNECTION = "loopback"
LOOPBACK = "127.0.0.1"
START_SECONDS = 90.0  # of a busy machine
STOP_SECONDS = 10.0
FOREIGN = ("FLWR_", "FEDVLM_", "RAY_")  # variables of the caller's that no process here obeys
LOG_TAIL = 3000  # characters
# Of the server, as in systemd/server.env: Flower asks every second whether a run is to be started.
SERVER = {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "3"}


class Child:
    """A process in a session of its own, with its log, and all that it starts."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=log.parent,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._orphans: set[psutil.Process] = set()

    @property
    def status(self) -> int | None:
        """Its exit status; None while it lives."""
        return self._process.poll()

    def kill(self) -> None:
        """End the process alone, as a crash would: what it has started is not told."""
        self._orphans = family(self.pid) - {psutil.Process(self.pid)}
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End the process and all that it has started."""
        stop_family(self.pid, STOP_SECONDS)
        self._process.wait()
        for process in self._orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(self._orphans, timeout=STOP_SECONDS)

    def descendants(self, word: str) -> list[psutil.Process]:
        """Those below it that have a word in their command, as `flwr-serverapp`."""
        below = family(self.pid) - {psutil.Process(self.pid)}
        return [each for each in below if word in " ".join(_command_of(each))]

    @property
    def output(self) -> str:
        """What it has printed; not what earlier processes with this log have."""
        with self.log.open("rb") as file:
            file.seek(self._start)
            return file.read().decode("utf-8", errors="replace")


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


class Server:
    """A SuperLink with TLS and node authentication, and the home of a user that knows it."""

    def __init__(self, folder: Path, models: Path | None, port: int) -> None:
        self.folder, self.models, self.port = folder, models, port
        self.address = f"{LOOPBACK}:{port}"
        self.certificates = folder / "certificates"
        self.environment = {**environment_of(folder / "server", models), **SERVER}
        self.user = environment_of(folder / "user", None)
        self.child: Child | None = None

    def start(self) -> None:
        """Start it on its database, and wait until it answers."""
        self.child = Child(self._command(), self.environment, self.folder / "superlink.log")
        wait_until(lambda: listens(self.port), "the SuperLink listens", self.child)

    def kill(self) -> None:
        """End the SuperLink's own process, as a crash would."""
        assert self.child is not None
        self.child.kill()

    def stop(self) -> None:
        """End it, and its ServerApp if one runs."""
        if self.child is not None:
            self.child.stop()

    def restart(self) -> None:
        """What a supervisor does."""
        self.stop()
        self.start()

    def serverapps(self) -> list[psutil.Process]:
        """The processes of ServerApps that run now."""
        return self.child.descendants("flwr-serverapp") if self.child else []

    def flwr(self, *words: str) -> str:
        """What a command of Flower's prints for the user; the connection is its last word.

        Raises:
            RuntimeError: it fails; with what it printed.
        """
        done = subprocess.run(
            [script("flwr"), *words, CONNECTION],
            env=self.user,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"flwr {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _command(self) -> list[str]:
        files = {"certfile": "server.pem", "keyfile": "server.key", "ca-certfile": "ca.crt"}
        tls = [f"--ssl-{key}={self.certificates / name}" for key, name in files.items()]
        place = ["--host", LOOPBACK, "--port", str(self.port)]
        database = ["--database", str(self.folder / "state.db")]
        return [script("flower-superlink"), *place, *database, *tls, "--enable-supernode-auth"]

    def prepare(self) -> None:
        """Make its certificates and tell the user's Flower of it."""
        make_keys(self.certificates)
        lines = (
            f'[superlink]\ndefault = "{CONNECTION}"\n[superlink.{CONNECTION}]',
            f'address = "{self.address}"',
            f'root-certificates = "{self.certificates / "ca.crt"}"',
        )
        self.flower_config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def flower_config(self) -> Path:
        """Where the user's Flower knows the SuperLink."""
        return Path(self.user["FLWR_HOME"]) / "config.toml"


@contextmanager
def superlink(folder: Path, models: Path | None = None) -> Iterator[Server]:
    """A SuperLink on the loopback, with TLS and node authentication, that ends with the block.

    Args:
        folder: for its files and all homes, those of sites and of the user included.
        models: a `models` folder of prepared bases that homes start with; None: they are made.
    """
    server = Server(folder, models, free_port())
    server.prepare()
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Site:
    """A SuperNode with a key, a home and a port of its own."""

    def __init__(
        self,
        server: Server,
        name: str,
        node_config: str,
        *,
        resident: bool = False,
        key: str | None = None,
        superlink: str | None = None,
    ) -> None:
        """Make the site's key and register it.

        Args:
            node_config: as Flower's option has it, `site="north" data-root="/data/north"`.
            resident: messages are taken by the site's own long-lived process, not by one that
                Flower starts for each.
            key: the name of another site's key to use in its place.
            superlink: the address that the site uses, as of a reverse proxy; None: the server's.
        """
        self.name, self._server, self._node_config = name, server, node_config
        self._resident, self._superlink = resident, superlink or server.address
        self.folder = server.folder / "sites" / name
        self._secret = self.folder / "secret"
        self.environment = environment_of(self.folder, server.models)
        self.port = free_port()
        self.key = server.certificates / "sites" / (key or name)
        self.supernode: Child | None = None
        self.serve: Child | None = None
        if key is None:
            make_keys(server.certificates, name)
            server.flwr("supernode", "register", f"{self.key}.pub")

    def start(self, wait: bool = True) -> None:
        """Start the SuperNode, and the resident process where the site has one.

        Args:
            wait: until the SuperLink has it online.
        """
        if self._resident:
            self._secret.write_text(secrets.token_hex())
        self.start_supernode()
        if self._resident:
            self.start_serve()
        if wait:
            self.wait_online()

    def start_supernode(self) -> None:
        """Start the SuperNode alone."""
        command = [script("flower-supernode"), "--superlink", self._superlink]
        command += ["--root-certificates", str(self._server.certificates / "ca.crt")]
        command += ["--auth-supernode-private-key", str(self.key)]
        command += ["--host", LOOPBACK, "--port", str(self.port)]
        command += ["--node-config", self._node_config]
        if self._resident:
            command += ["--isolation", "process"]
            command += ["--superexec-auth-secret-file", str(self._secret)]
        self.supernode = Child(command, self.environment, self.folder / "supernode.log")

    def start_serve(self) -> None:
        """Start the resident process, `fedvlm site serve`, beside the SuperNode."""
        place = [f"address={LOOPBACK}:{self.port}", f"secret={self._secret}"]
        words = fedvlm("site", "serve", *place)
        self.serve = Child(words, self.environment, self.folder / "serve.log")

    def wait_online(self) -> None:
        """Wait until the SuperLink has the SuperNode online."""
        wait_until(lambda: self.is_online, f"site {self.name} is online", self.supernode)

    @property
    def is_online(self) -> bool:
        """Whether its SuperNode has told that it is known to the SuperLink."""
        assert self.supernode is not None
        return bool(re.search(r"SuperNode ID: \d+", self.supernode.output))

    def kill(self) -> None:
        """End the SuperNode's own process, as a crash would."""
        assert self.supernode is not None
        self.supernode.kill()

    def pause(self) -> None:
        """Let the SuperNode's process stand still."""
        assert self.supernode is not None
        os.kill(self.supernode.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self.supernode is not None
        os.kill(self.supernode.pid, signal.SIGCONT)

    def restart_supernode(self) -> None:
        """What a supervisor does; within 60 s of a kill Flower refuses it (code 2004)."""
        assert self.supernode is not None
        self.supernode.stop()
        self.start_supernode()
        self.wait_online()

    def stop(self) -> None:
        """End all of the site's processes."""
        for child in (self.serve, self.supernode):
            if child is not None:
                child.stop()


@contextmanager
def started(*sites: Site) -> Iterator[None]:
    """Sites that are online, until the block ends."""
    with ExitStack() as stack:
        for site in sites:
            stack.callback(site.stop)
            site.start(wait=False)
        for site in sites:
            site.wait_online()
        yield


@dataclass(frozen=True)
class Result:
    """What a user has of a run.

    Attributes:
        status: the exit status of `fedvlm run`.
        output: what it printed.
        folder: the user's own run folder.
    """

    status: int
    output: str
    folder: RunFolder


def run(server: Server, *words: str, name: str = "run", timeout: float = 600) -> Result:
    """Run `fedvlm run engine=superlink ...` as the user, to its end."""
    process = start_run(server, *words, name=name)
    output, _ = process.communicate(timeout=timeout)
    return Result(process.returncode, output, folder_of(server, name))


def start_run(server: Server, *words: str, name: str = "run") -> "subprocess.Popen[str]":
    """Start `fedvlm run` as the user; its output, errors too, comes through a pipe."""
    own = ["engine=superlink", f"engine.connection={CONNECTION}"]
    placed = [] if any(w.startswith("resume=") for w in words) else [f"run_name={name}"]
    return subprocess.Popen(
        fedvlm("run", *own, *words, *placed),
        env=server.user,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def folder_of(server: Server, name: str = "run") -> RunFolder:
    """The user's folder of a run."""
    return RunFolder(Path(server.user["FEDVLM_RUNS"]) / name)


def fedvlm(*words: str) -> list[str]:
    """The words of a command of ours, of this very source."""
    return [sys.executable, "-c", "from fedvlm_flwr.cli import main; exit(main())", *words]


def environment_of(home: Path, models: Path | None) -> dict[str, str]:
    """The environment of somebody with a home of his own, made here.

    Args:
        models: prepared bases that the home starts with, if there is such a folder.
    """
    for name in ("flwr", "fedvlm"):
        (home / name).mkdir(parents=True, exist_ok=True)
    if models is not None and models.exists() and not (home / "fedvlm" / "models").exists():
        shutil.copytree(models, home / "fedvlm" / "models")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "FLWR_HOME": str(home / "flwr"),
        "FEDVLM_HOME": str(home / "fedvlm"),
        "FEDVLM_RUNS": str(home / "fedvlm" / "runs"),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**kept, **FIXED, **without_proxy(kept), **own}


def make_keys(folder: Path, *sites: str, host: str = LOOPBACK) -> None:
    """Trial certificates, and keys of sites."""
    subprocess.run(
        [str(CERTIFICATES), str(folder), host, *sites],
        check=True,
        capture_output=True,
    )


def wait_until(
    condition: Callable[[], bool],
    what: str,
    child: Child | None = None,
    seconds: float = START_SECONDS,
) -> None:
    """Wait for something to come true.

    Raises:
        RuntimeError: the time is over, or the process that should bring it about has ended; with
            the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        ended = child is not None and child.status is not None
        if ended or time.monotonic() > deadline:
            words = f"exit {child.status}, log:\n{child.output[-LOG_TAIL:]}" if child else ""
            raise RuntimeError(f"not in {seconds:g} s: {what}; {words}")
        time.sleep(0.2)
