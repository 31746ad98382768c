"""A Ray cluster of two nodes, both on this machine: the same app runs on it, and on both nodes."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from fedvlm_flwr.engines.actors.resources import require_cluster
from fedvlm_flwr.processes import free_port, script, stop_family
from fedvlm_flwr.run_folder import RunFolder
from tests.fedvlm_flwr.engines.test_ray import FEW, TOLERANCE, fedvlm, last_arrays, losses

pytestmark = pytest.mark.slow

QUIET = ("--disable-usage-stats", "--include-log-monitor=false")
PORTS = (  # those with numbers of their own, which another Ray of this machine may hold
    "--node-manager-port",
    "--object-manager-port",
    "--dashboard-agent-listen-port",
    "--dashboard-agent-grpc-port",
    "--runtime-env-agent-port",
    "--metrics-export-port",
)
STORE = 100_000_000  # bytes of each node's store, in files: /dev/shm may be small
START_SECONDS = 150  # at most: on a quiet machine it is ten
ACTOR = "ray::Actor"
TINY = ("num_rounds=2", "num_clients=2", "train.local_steps=1", FEW)


@contextmanager
def node(*words: str) -> Iterator[None]:
    """A node of one core; it and all that it has started end with the block."""
    ports = [f"{name}={free_port()}" for name in PORTS]
    store = (f"--object-store-memory={STORE}", "--plasma-directory=/tmp")
    command = [script("ray"), "start", "--block", "--num-cpus=1", *QUIET, *store, *ports, *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        stop_family(process.pid, 3)
        process.wait()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # sockets: a short path
        address = f"127.0.0.1:{free_port()}"
        ports = (f"--port={address.partition(':')[2]}", f"--ray-client-server-port={free_port()}")
        with node("--head", "--include-dashboard=false", f"--temp-dir={folder}", *ports):
            require_cluster(address, START_SECONDS)
            with node(f"--address={address}"):
                wait_for_nodes(address, 2)
                yield address


def wait_for_nodes(address: str, number: int) -> None:
    """Until so many raylets of a cluster run: Flower counts its cores once."""
    deadline = time.monotonic() + START_SECONDS
    while len(raylets_of(address)) < number:
        assert time.monotonic() < deadline, f"the cluster has {len(raylets_of(address))} nodes"
        time.sleep(0.5)


def raylets_of(address: str) -> set[int]:
    """The raylets of the cluster with this address; others may run on the machine."""
    port = address.partition(":")[2]
    lines = ((p.pid, p.info["cmdline"] or [""]) for p in psutil.process_iter(["cmdline"]))
    return {
        pid
        for pid, words in lines
        if words[0].endswith("/raylet") and any(f":{port}" in word for word in words)
    }


class Actors:
    """The raylets under which actors are seen while the block lasts: one for each node."""

    def __init__(self) -> None:
        self.raylets: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on)

    def _look_on(self) -> None:
        while not self._over.wait(0.2):
            for process in psutil.process_iter(["cmdline", "ppid"]):
                if ACTOR in " ".join(process.info["cmdline"] or []):
                    self.raylets.add(process.info["ppid"])

    def __enter__(self) -> "Actors":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_a_run_on_two_nodes_equals_one_in_process(cluster, small, start, tmp_path):
    with Actors() as actors:
        done = fedvlm(
            "run",
            *small,
            *TINY,
            "engine=ray",
            f"engine.address={cluster}",
            f"output_dir={tmp_path}",
            "run_name=on_two",
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"using the Ray cluster at {cluster}" in done.stdout
    folder = RunFolder(tmp_path / "on_two")
    here = start(*TINY)
    assert losses(folder) == pytest.approx(losses(here), abs=TOLERANCE)
    expected = last_arrays(here)
    for name, values in last_arrays(folder).items():
        assert values == pytest.approx(expected[name], abs=TOLERANCE), name
    assert actors.raylets >= raylets_of(cluster), "each node has an actor"


def test_the_cluster_is_there_after_it(cluster):
    """A run ends what it has started, and nothing else."""
    require_cluster(cluster, 20)
