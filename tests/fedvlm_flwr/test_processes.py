"""Programs of this machine: what one has started ends with it."""

import subprocess
import sys

import psutil
import pytest

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.processes import family, free_port, listens, lives, script, stop_family
from tests.patience import wait_for

# A program that starts another, which starts another, and waits; the last one is deaf.
CHAIN = """
import signal, subprocess, sys, time
depth = int(sys.argv[1])
if depth:
    subprocess.Popen([sys.executable, __file__, str(depth - 1)])
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


def test_a_program_ends_with_all_that_it_has_started(tmp_path):
    """Also with what does not listen to a kind word."""
    path = tmp_path / "chain.py"
    path.write_text(CHAIN)
    root = subprocess.Popen([sys.executable, str(path), "2"], stdout=subprocess.PIPE, text=True)
    assert root.stdout is not None
    assert [root.stdout.readline() for _ in range(3)] == ["up\n"] * 3
    processes = family(root.pid)
    assert len(processes) == 3 and all(map(lives, processes))
    stop_family(root.pid, 1.0)
    root.wait()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive and not any(map(lives, processes))
    assert family(root.pid) == set()


def test_one_that_nobody_has_waited_for_lives_no_more():
    process = subprocess.Popen([sys.executable, "-c", ""])
    seen = psutil.Process(process.pid)
    wait_for(lambda: not lives(seen), 20)
    process.wait()
    assert not lives(seen)


def test_a_free_port_is_one_that_nobody_listens_on():
    assert not listens(free_port())


def test_a_command_is_found_beside_python_and_missed_by_name():
    assert script("fedvlm").startswith(str(sys.prefix))
    with pytest.raises(RunError, match="The command no-such-command is not installed"):
        script("no-such-command")
