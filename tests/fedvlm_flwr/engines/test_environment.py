"""The environment of an engine's processes, set right whatever the user's is."""

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from fedvlm_flwr.config import compose
from fedvlm_flwr.engines.actors.environment import (
    LONGEST_OF_RAY,
    LONGEST_PARENT,
    engine_environment,
    proxied,
    socket_parent,
)
from fedvlm_flwr.errors import ConfigError, RunError

SESSION = "ray/session_2026-11-26_17-48-57_123456_1234567/sockets/plasma_store"
PROXY = "http://127.0.0.1:9"


def environment(variables: dict[str, str], address: str | None = None) -> dict[str, str]:
    return engine_environment(variables, Path("/tmp/home"), address)


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize("exempt", [{}, {"no_proxy": "a.b, .c"}, {"NO_PROXY": "a.b,.c"}])
def test_local_traffic_never_goes_through_a_proxy(monkeypatch, name, exempt):
    """As Python's own reading of the environment sees it, which Flower's client follows."""
    for key in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(key, raising=False)
        monkeypatch.delenv(key.upper(), raising=False)
    variables = {name: PROXY, **exempt}
    for key, value in environment(variables).items():
        monkeypatch.setenv(key, value)
    assert urllib.request.getproxies()[name.lower().removesuffix("_proxy")] == PROXY
    local = ("127.0.0.1", "localhost", "127.0.0.1:8000")
    assert all(urllib.request.proxy_bypass(host) for host in local)
    assert not urllib.request.proxy_bypass("example.org")
    assert bool(urllib.request.proxy_bypass("a.b")) == bool(exempt)


def test_the_doctor_knows_who_would_meet_the_proxy():
    assert proxied({"http_proxy": PROXY}) == "http_proxy"
    assert proxied({"http_proxy": PROXY, "no_proxy": "localhost"}) == "http_proxy"
    for exempt in ("localhost,127.0.0.1", "*"):
        assert proxied({"http_proxy": PROXY, "no_proxy": exempt}) is None
    assert proxied({}) is None


def test_a_run_has_a_ray_of_its_own_unless_an_address_is_given():
    joined = {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_TMPDIR": "/scratch"}
    own = environment(joined)
    assert (own["RAY_ADDRESS"], own["RAY_TMPDIR"]) == ("local", "/tmp/home")
    there = environment(joined, "10.0.0.2:6379")
    assert (there["RAY_ADDRESS"], there["RAY_TMPDIR"]) == ("10.0.0.2:6379", "/scratch")


@pytest.mark.parametrize("value", ["here", "ray://a:1", "a:b", "1.2.3.4", "a b:1", "a:1/x"])
def test_an_address_is_host_and_port(value):
    with pytest.raises(ConfigError, match="is not host:port"):
        compose({"overrides": f"'engine.address=\"{value}\"'"})
    assert compose({"overrides": 'engine.address="my-head.local:6379"'}).engine.address


def folder(parent: Path, length: int) -> Path:
    """A new folder whose path has so many bytes."""
    path = parent / ("x" * (length - len(str(parent)) - 1))
    path.mkdir()
    assert len(str(path)) == length
    return path


@pytest.fixture
def short():
    """A folder with a short path, of which pytest's own are none."""
    from fedvlm_flwr.temporary import temporary_folder

    with temporary_folder(Path("/tmp")) as path:
        place = Path("/tmp") / path.name[-8:]
        path.rename(place)
        yield place
        place.rename(path)


@pytest.mark.parametrize(
    ("longest", "inside"),
    [(LONGEST_PARENT, f"fedvlm-flwr-12345678/{SESSION}"), (LONGEST_OF_RAY, SESSION)],
    ids=["ours", "Ray's"],
)
def test_the_longest_place_is_what_the_system_takes(short, longest, inside):
    """Tried with real sockets: one byte more and they cannot be bound."""
    for length in (longest, longest + 1):
        path = folder(short, length) / inside
        path.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as bound:
            if length == longest:
                bound.bind(str(path))
            else:
                with pytest.raises(OSError, match="AF_UNIX path too long"):
                    bound.bind(str(path))


def test_a_long_place_is_left_for_a_short_one(tmp_path, short):
    long = tmp_path / ("x" * 80)
    long.mkdir()
    assert socket_parent({"TMPDIR": str(long)}) == Path("/tmp")
    assert socket_parent({"TMPDIR": str(short)}) == short
    assert socket_parent({"TMPDIR": str(long), "RAY_TMPDIR": str(short)}) == short
    assert socket_parent({"TMPDIR": str(short / "missing")}) == Path("/tmp")


def test_no_place_at_all_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RunError, match=r"/tmp cannot be written .* set RAY_TMPDIR"):
        socket_parent({"TMPDIR": str(tmp_path)})


def threads_of(variables: dict[str, str]) -> str:
    """What a process of ours, and those that it starts, tell torch's threads to do."""
    done = subprocess.run(
        [sys.executable, "-c", "import fedvlm_flwr, os; print(os.environ['OMP_WAIT_POLICY'])"],
        env={"PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_threads_that_wait_sleep_unless_the_user_has_said_otherwise():
    assert threads_of({}) == "passive"
    assert threads_of({"OMP_WAIT_POLICY": "active"}) == "active"
