"""What is told, and cleared away, where Ray ends or stops the process of a run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fedvlm_flwr.processes import lives

pytestmark = pytest.mark.slow

RUN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from fedvlm_flwr.engines.actors.guard import Guard, Words
home, mark, limit, ends = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
with Guard(home, Words(mark, "Start it anew.", "Go on with it."), limit) as guard:
    child = subprocess.Popen(["sleep", "100"], start_new_session=True)
    print(child.pid, flush=True)
    if ends != "stands still":
        guard.lift_limit()
        time.sleep(1)
    if ends == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if ends == "stands still":
        time.sleep(100)
child.kill()
"""


def run(folder: Path, ends: str, limit: float = 60) -> tuple[int, str, psutil.Process | None]:
    """A run that ends in some way: its status, what was told, and what it had started."""
    (folder / "home" / "ray").mkdir(parents=True)
    words = [str(folder / "home"), str(folder / "mark"), str(limit), ends]
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    _, told = process.communicate(timeout=60)
    return process.returncode, told, child if lives(child) else None


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_that_is_ended_without_a_word_is_told_of_and_nothing_stays(tmp_path, begun) -> None:
    if begun:
        (tmp_path / "mark").touch()
    status, told, left = run(tmp_path, "is killed")
    assert status == -signal.SIGKILL
    way_on = "Go on with it." if begun else "Start it anew."
    assert told.startswith("error: The run's process was ended") and told.endswith(f"{way_on}\n")
    assert left is None and not (tmp_path / "home").exists()


def test_a_run_whose_ray_does_not_start_is_ended(tmp_path) -> None:
    began = time.monotonic()
    status, told, left = run(tmp_path, "stands still", limit=2)
    assert status == -signal.SIGKILL and time.monotonic() - began < 30
    assert "Ray has not started within 2 s, and the run was ended. Start it anew." in told
    assert left is None or not lives(left)


def test_of_a_proper_end_nothing_is_told_and_nothing_is_taken(tmp_path) -> None:
    assert run(tmp_path, "ends")[:2] == (0, "")
    assert (tmp_path / "home" / "ray").is_dir()
