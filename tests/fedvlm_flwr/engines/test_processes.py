"""The engine's processes are looked at: a death is told in seconds, and nothing stays behind."""

import subprocess
import sys
import time

import psutil
import pytest

from fedvlm_flwr.engines.actors import processes
from fedvlm_flwr.processes import Watch, wait_for

# As Flower's own: a chain of programs, each of which starts the next and waits.
PROGRAM = """#!{python}
import subprocess, sys, time
children = [subprocess.Popen([name]) for name in {children}]
time.sleep(60)
"""


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A Watch over real programs with the names of Flower's and Ray's, all of them running."""
    chain = ["flower-superlink", "flower-superexec", "flwr-simulation", "raylet"]
    for name, following in zip(chain, [*chain[1:], None], strict=True):
        path = tmp_path / name
        children = [str(tmp_path / following)] if following else []
        path.write_text(PROGRAM.format(python=sys.executable, children=children))
        path.chmod(0o755)
    monkeypatch.setattr(processes, "GRACE_SECONDS", dict.fromkeys(chain, 0.5))
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.1)
    root = subprocess.Popen([str(tmp_path / chain[0])])
    watch = Watch(root.pid)
    deadline = time.monotonic() + 20
    while len(by_name(tmp_path)) < len(chain):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert watch.dead() is None
    yield watch
    watch.stop(5)
    root.wait()
    assert by_name(tmp_path) == {}


def by_name(folder) -> dict[str, psutil.Process]:
    living = {}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if process.status() != psutil.STATUS_ZOMBIE and len(words) > 1:
                living |= {word: process for word in words[1:2] if word.startswith(f"{folder}/")}
        except psutil.NoSuchProcess:
            continue
    return {word.rpartition("/")[2]: process for word, process in living.items()}


@pytest.mark.parametrize("name", ["flower-superlink", "flower-superexec", "flwr-simulation"])
def test_a_death_is_told_in_seconds_and_the_orphans_end(watch, tmp_path, name):
    """The grandchildren of one that is killed are nobody's children, and are ended all the same."""
    command = subprocess.Popen(["sleep", "60"])
    by_name(tmp_path)[name].kill()
    began = time.monotonic()
    assert wait_for(command, watch) == name
    assert time.monotonic() - began < 5
    assert command.poll() is not None


def test_a_command_that_ends_is_not_kept_waiting(watch):
    command = subprocess.Popen(["sleep", "0.3"])
    assert wait_for(command, watch) is None
    assert command.returncode == 0


def test_an_end_within_a_runs_last_seconds_is_no_death(watch, tmp_path, monkeypatch):
    monkeypatch.setitem(processes.GRACE_SECONDS, "raylet", 30.0)
    command = subprocess.Popen(["sleep", "0.5"])
    by_name(tmp_path)["raylet"].kill()
    assert wait_for(command, watch) is None
