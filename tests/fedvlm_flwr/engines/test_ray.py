"""The Ray engine: the same results as in-process, a Ray of its own, an honest exit status."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file

from fedvlm_flwr.processes import family, script
from fedvlm_flwr.run_folder import METRICS, SURROUNDINGS, RunFolder
from fedvlm_flwr.surroundings import commit
from tests.patience import wait_for

ROOT = Path(__file__).parents[3]
PROGRAM = script("fedvlm")
TOLERANCE = 1e-5  # Ray's replies arrive in any order: the mean may differ in its last bits

FEW = "dataset.test_pictures=4"  # where scores do not matter: answering takes most of a run's time
ALONE = "num_clients=1"  # where one client process will do: each loads torch


def fedvlm(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    # A real program of its own: the follower must not think that somebody else follows.
    inherited = {key: value for key, value in os.environ.items() if key != "FEDVLM_FOLLOWED"}
    inherited["PATH"] = "/usr/bin:/bin"  # the environment need not be activated
    return subprocess.run(
        [PROGRAM, *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def losses(folder: RunFolder) -> list[float]:
    return [
        line["value"]
        for line in folder.lines(METRICS)
        if line["task"] == "train" and line["metric"] == "loss"
    ]


def last_arrays(folder: RunFolder):
    return load_file(folder.path / "checkpoints" / "stage_0_round_0002.safetensors")


# Of a cluster's node: each of these alone would end a run, or send it to a foreign Ray.
UNKIND = {
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "RAY_ADDRESS": "127.0.0.1:9",
    "PYTHONIOENCODING": "ascii",
}


@pytest.fixture(scope="module")
def ray_run(small, tmp_path_factory) -> tuple["subprocess.CompletedProcess[str]", RunFolder]:
    """A run in an unkind environment, that has nothing of it; its clients answer for the server."""
    long = tmp_path_factory.mktemp("x" * 80)  # no socket's path can begin with it
    done = fedvlm("run", *small, "engine=ray", **UNKIND, TMPDIR=str(long))
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"run folder: (\S+)", done.stdout)
    assert found
    return done, RunFolder(Path(found.group(1)))


def test_ray_equals_in_process(ray_run, start):
    _, folder = ray_run
    here = start()
    assert losses(folder) == pytest.approx(losses(here), abs=TOLERANCE)
    expected = last_arrays(here)
    for name, values in last_arrays(folder).items():
        assert values == pytest.approx(expected[name], abs=TOLERANCE), name
    first = "predictions_before.jsonl"  # of weights that are equal to the bit
    assert (folder.path / first).read_bytes() == (here.path / first).read_bytes()


def test_each_ray_process_loads_the_base_once(ray_run):
    processes = ray_run[1].cost()["processes"]
    clients = {name: facts for name, facts in processes.items() if name.startswith("client")}
    assert clients and not set(clients) & {name for name in processes if name.startswith("server")}
    assert {facts["model_loads"] for facts in processes.values()} == {1}
    assert all(facts["peak_memory_bytes"] < 2e9 for facts in processes.values())


def test_the_run_names_the_commit_that_it_is_of(ray_run):
    (facts,) = ray_run[1].lines(SURROUNDINGS)
    assert facts["commit"] == commit(ROOT)


def test_the_output_is_plain_lines_and_ends_with_the_folder(ray_run):
    done, folder = ray_run
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == f"run folder: {folder.path}"
    assert "\x1b" not in done.stdout
    assert any(line.startswith("round 2/2: loss") for line in lines)
    assert done.stderr == "" and done.stdout.isascii() and " before " in done.stdout


def test_nothing_is_left_running(ray_run):
    assert started_by_us() == []


def test_a_failing_client_gives_a_sentence_and_exit_1(small):
    done = fedvlm("run", *small, "engine=ray", "num_rounds=1", "train.lr=1000", FEW)
    assert done.returncode == 1
    assert re.search(r"^error: Round 1 got 0 good replies and needs 3 .*client 0: ", done.stderr)


def test_ending_the_command_ends_everything_it_started(small, tmp_path):
    arguments = ["run", *small, "engine=ray", "num_rounds=500", ALONE, FEW]
    arguments += [f"output_dir={tmp_path}"]
    process = begin(*arguments)
    wait_for(lambda: list(tmp_path.glob("*/metrics.jsonl")), 120)
    assert started_by_us()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143
    (folder,) = tmp_path.iterdir()
    assert told == f"ended. Go on with: fedvlm run resume={folder}\n", "and nothing of Ray's"
    wait_for(lambda: not started_by_us(), 60)


def test_a_second_interrupt_while_ray_starts_leaves_nothing(small, tmp_path):
    process = begin("run", *small, "engine=ray", ALONE, f"output_dir={tmp_path}")
    wait_for(started_by_us, 60, every=0.02)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ended. It had not begun: start it anew." in told and "Traceback" not in told
    assert started_by_us() == []


HUGE = "tuning.lora.r=32"  # messages of 1.1 MB, which lie in Ray's memory
BY_RAY = "error: The run's process was ended", "Go on with: fedvlm run resume="
BY_US = "error: Ray's process 'raylet' has ended", "run folder: "


@pytest.mark.parametrize(("more", "words"), [((HUGE,), BY_RAY), ((), BY_US)])
def test_a_run_whose_ray_is_ended_kindly_is_told_of(small, tmp_path, more, words):
    """As `ray stop` does: where messages lie in Ray's memory, Ray ends the run's own process."""
    run = ["num_rounds=500", "eval.every=500", ALONE, FEW, *more]
    run += [f"output_dir={tmp_path}", "run_name=run"]
    process = begin("run", *small, "engine=ray", *run)
    wait_for(lambda: list(tmp_path.glob("run/checkpoints/*_0001.safetensors")), 120, every=0.05)
    (raylet,) = (each for each in family(process.pid) if each.name() == "raylet")
    raylet.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    first, last = words
    assert first in told and told.endswith(f"{last}{tmp_path / 'run'}\n"), told
    wait_for(lambda: not started_by_us(), 60)


def begin(*arguments: str) -> "subprocess.Popen[str]":
    """A command that goes on, its errors within reach; it hears of interrupts, as at a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # else it may be ignored
    try:
        return subprocess.Popen(
            [PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_scaffold_killed_on_ray_and_resumed_equals_in_process(small, start, tmp_path):
    """Control variates cross processes by the files of the clients, of which half take part.

    What the killed command had started ends by itself.
    """
    words = ["algorithm=scaffold", "num_clients=4", "client_fraction=0.5", "num_rounds=4"]
    words += ["eval.every=4", "eval.shuffled=false", FEW]
    place = [f"output_dir={tmp_path}", "run_name=run"]
    process = subprocess.Popen([PROGRAM, "run", *small, "engine=ray", *words, *place])
    folder = RunFolder(tmp_path / "run")
    wait_for(lambda: list(folder.path.glob("checkpoints/*_0001.safetensors")), 120, every=0.02)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    wait_for(lambda: not started_by_us(), 60)
    assert not folder.is_finished()
    done = fedvlm("run", f"resume={folder.path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on after round " in done.stdout
    here = start(*words)
    assert losses(folder) == pytest.approx(losses(here), abs=TOLERANCE)
    saved, expected = (
        load_file(each.path / "checkpoints" / "stage_0_round_0004.safetensors")
        for each in (folder, here)
    )
    assert any(name.startswith("server/c/") for name in saved)
    for name, values in saved.items():
        assert values == pytest.approx(expected[name], abs=TOLERANCE), name


def test_a_client_process_that_is_killed_costs_nothing_but_time(small, start, tmp_path):
    """As where memory runs out: another takes its place, and its client is asked once more."""
    words = ["num_rounds=4", "eval.every=4", "eval.shuffled=false", "train.local_steps=8", FEW]
    place = [f"output_dir={tmp_path}", "run_name=run"]
    process = subprocess.Popen([PROGRAM, "run", *small, "engine=ray", *words, *place])
    folder = RunFolder(tmp_path / "run")
    wait_for(lambda: list(folder.path.glob("checkpoints/*_0001.safetensors")), 120, every=0.02)
    wait_for(lambda: at_work(process.pid), 60, every=0.02)
    at_work(process.pid)[0].kill()
    assert process.wait(timeout=120) == 0
    here = start(*words)
    assert losses(folder) == pytest.approx(losses(here), abs=TOLERANCE)


def at_work(command: int) -> list[psutil.Process]:
    """A command's client processes; each says in its title whether it works a message."""
    return [each for each in family(command) if title(each).startswith("ray::Actor.work")]


def title(process: psutil.Process) -> str:
    """A process's words; none once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def started_by_us() -> list[str]:
    """The engine's processes of this session: another one's have another $FEDVLM_HOME."""
    home, fields = os.environ["FEDVLM_HOME"], ["cmdline", "environ"]
    ours = [
        p.info
        for p in psutil.process_iter(fields)
        if (p.info["environ"] or {}).get("FEDVLM_HOME") == home
    ]
    commands = [" ".join(info["cmdline"] or []) for info in ours]
    return [command for command in commands if "fedvlm-flwr-" in command or "ray::" in command]
