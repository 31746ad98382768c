"""A run that is killed and resumed ends as one that nobody disturbed, bit for bit."""

import multiprocessing
import os
import random
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedvlm_flwr.engines import App, run_app
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import METRICS, PROGRESS, RunFolder
from server_app.saved import read_checkpoint

# A child process with everything imported but nothing computed: killing it is real, and cheap.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "server_app.run",
        "client_app.worker",
        "fedvlm_flwr.models.llava.kind",
        "datasets",
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
    ]
)
ROUNDS = 4
RUN = (f"num_rounds={ROUNDS}", "eval.shuffled=false", "eval.every=1", "eval.max_examples=5")
RUN += ("dataset.test_pictures=4", "train.local_steps=2")  # a picture for each client


def kill_at(moment: str, count: int) -> None:
    """Have this process killed at the count-th file that is replaced whole: before, or right after.

    Checkpoints, the cost account and the predictions are written that way, so that the count runs
    through every place between two writes.
    """
    replace = Path.replace
    seen = 0

    def deadly(self: Path, target: Path) -> Path:
        nonlocal seen
        seen += 1
        if seen == count and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = replace(self, target)
        if seen == count and moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = deadly  # type: ignore[method-assign]


def federate(run_config: dict[str, str], moment: str | None = None, count: int = 0) -> None:
    """What the child process does."""
    if moment:
        kill_at(moment, count)
    app = App("server_app.app:app", "client_app.app:app")
    config = this_process().compose(run_config)  # as the app in it does
    run_app(app, run_config, config.engine, config.num_clients, Path(os.devnull))


class Runner:
    """Starts one configuration in child processes, over and over in one folder."""

    def __init__(self, small: list[str], root: Path, *overrides: str) -> None:
        self.overrides = shlex.join([*small, *RUN, *overrides])
        self.root = root
        self.folder = RunFolder(root / "run")

    def process(self, *how: object) -> multiprocessing.process.BaseProcess:
        begun = (self.folder.path / "config.yaml").exists()
        place = (
            {"resume": str(self.folder.path)}
            if begun
            else {"output-dir": str(self.root), "run-name": "run"}
        )
        child = FORKS.Process(target=federate, args=({"overrides": self.overrides, **place}, *how))
        child.start()
        return child

    def run(self, *how: object) -> int:
        child = self.process(*how)
        child.join(400)  # seconds; ten processes may share the cores
        assert child.exitcode is not None
        return child.exitcode

    def finish(self) -> None:
        code = self.run()
        assert code == 0, list(self.folder.lines(PROGRESS))[-1]
        assert self.folder.is_finished()
        saved = read_checkpoint(self.folder)
        assert saved is not None and saved.state.number == ROUNDS


def outcome(folder: RunFolder) -> tuple[list[dict], dict[str, bytes], dict[str, object]]:
    """Metrics but for seconds, final tensors, and the bytes that were sent."""
    lines = [line for line in folder.lines(METRICS) if line["metric"] != "seconds"]
    path = max((folder.path / "checkpoints").glob("*.safetensors"))
    tensors = {name: array.tobytes() for name, array in load_file(path).items()}
    return lines, tensors, folder.cost()["bytes"]


def same(one: RunFolder, other: RunFolder) -> None:
    lines, tensors, sent = outcome(one)
    lines_too, tensors_too, sent_too = outcome(other)
    assert lines == lines_too
    assert tensors == tensors_too
    assert sent == sent_too


@pytest.fixture(scope="module")
def undisturbed(small, tmp_path_factory):
    """Finished runs by their overrides, made once each."""
    made: dict[tuple[str, ...], RunFolder] = {}

    def make(*overrides: str) -> RunFolder:
        if overrides not in made:
            runner = Runner(small, tmp_path_factory.mktemp("whole"), *overrides)
            runner.finish()
            made[overrides] = runner.folder
        return made[overrides]

    return make


STATEFUL = ("algorithm=scaffold", "num_clients=4", "clients_per_round=2")


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments(small, undisturbed, tmp_path, seed):
    """SCAFFOLD has state on the server and with each client, and here the cohort changes."""
    runner, chance = Runner(small, tmp_path, *STATEFUL), random.Random(seed)
    whole = undisturbed(*STATEFUL)
    sizes = sorted(chance.uniform(0, 0.9) * whole.size(METRICS) for _ in range(3))
    for size in sizes:
        child = runner.process()
        while child.is_alive() and runner.folder.size(METRICS) < size:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    runner.finish()
    same(runner.folder, whole)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("count", [1, 4, 8, 34])
def test_killed_while_writing(small, undisturbed, tmp_path, moment, count):
    runner = Runner(small, tmp_path, *STATEFUL)
    assert runner.run(moment, count) == -signal.SIGKILL
    assert not runner.folder.is_finished()
    runner.finish()
    same(runner.folder, undisturbed(*STATEFUL))


WITH_STATE = [
    f"algorithm={name}" for name in ("fedavgm", "fedadam", "feddyn", "local", "fedex_lora")
]


KEEPS = "eval.keep=best eval.keep_by=vqa.accuracy"
SHORT = "algorithm=scaffold wire.dtype=int8"  # what clients hold, and what rounding has left out


@pytest.mark.parametrize("choice", [*WITH_STATE, "tuning=share_lora", KEEPS, SHORT])
def test_other_runs_with_state(small, undisturbed, tmp_path, choice):
    overrides = (*choice.split(), "num_clients=2")
    runner = Runner(small, tmp_path, *overrides)
    # In one of the middle rounds: the more a client saves, the more files are written in each.
    assert runner.run("after", 24 if choice == SHORT else 11) == -signal.SIGKILL
    saved = read_checkpoint(runner.folder)
    assert saved is not None and 0 < saved.state.number < ROUNDS
    runner.finish()
    same(runner.folder, undisturbed(*overrides))


@pytest.mark.parametrize("part", [0.2, 0.52, 0.8])
def test_killed_in_either_stage(small, undisturbed, tmp_path, part):
    """The second stage needs what the first has come to, on the server and with each client."""
    overrides = (*STATEFUL, "tuning=f_2stage")
    whole, runner = undisturbed(*overrides), Runner(small, tmp_path, *overrides)
    child = runner.process()
    while child.is_alive() and runner.folder.size(METRICS) < part * whole.size(METRICS):
        time.sleep(0.001)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    saved = read_checkpoint(runner.folder)
    assert saved is not None and (saved.stage == 1) == bool(saved.previous)
    if part != 0.52:  # near the border it may be either
        assert saved.stage == (part > 0.52)
    runner.finish()
    same(runner.folder, whole)


def test_a_finished_run_is_left_as_it_is(small, undisturbed):
    folder = undisturbed(*STATEFUL)
    before = outcome(folder)
    runner = Runner(small, folder.path.parent, *STATEFUL)
    assert runner.run() == 0
    assert outcome(folder) == before


def resume(small, folder: RunFolder, *overrides: str) -> None:
    federate({"overrides": shlex.join([*small, *RUN, *overrides]), "resume": str(folder.path)})


def test_a_changed_configuration_is_refused_by_its_keys(small, undisturbed):
    folder = undisturbed(*STATEFUL)
    with pytest.raises(RunError) as refusal:
        resume(small, folder, *STATEFUL, "train.lr=0.5", "seed=9")
    text = str(refusal.value)
    assert "train.lr was 0.003 and is 0.5" in text
    assert "seed was 0 and is 9" in text
    assert "num_clients" not in text


def test_what_changes_no_number_may_change(small, undisturbed):
    resume(small, undisturbed(*STATEFUL), *STATEFUL, "round_timeout=17", "min_replies=1")


def test_a_folder_without_a_run_is_refused(small, tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        resume(small, RunFolder(tmp_path))


def test_a_damaged_checkpoint_is_named(small, tmp_path):
    runner = Runner(small, tmp_path)
    assert runner.run("after", 6) == -signal.SIGKILL
    for name in ("checkpoint.json", "checkpoint.earlier.json"):
        (runner.folder.path / name).write_text('{"format": 3}')
    with pytest.raises(RunError, match=r"checkpoint\.json has changed .*; start a new run"):
        resume(small, runner.folder)


def test_a_run_that_is_being_run_is_not_resumed(small, tmp_path):
    runner = Runner(small, tmp_path)
    assert runner.run("after", 6) == -signal.SIGKILL
    with runner.folder.locked(), pytest.raises(RunError, match="run by another process"):
        resume(small, runner.folder)


def test_a_lost_private_file_is_told(small, tmp_path):
    runner = Runner(small, tmp_path, *STATEFUL)
    assert runner.run("after", 12) == -signal.SIGKILL
    saved = read_checkpoint(runner.folder)
    assert saved is not None and saved.state.saved_rounds
    for path in (runner.folder.path / "clients").glob("*/*.safetensors"):
        path.unlink()
    with pytest.raises(RunError, match=r"saved after round \d cannot be used"):
        resume(small, runner.folder, *STATEFUL)


def test_the_arrays_are_numbers(undisturbed):
    _, tensors, _ = outcome(undisturbed(*STATEFUL))
    control = [name for name in tensors if name.startswith("server/c/")]
    assert control
    assert any(np.frombuffer(tensors[name], np.float32).any() for name in control)
