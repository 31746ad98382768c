"""`fedvlm run resume=...`: a run, a sweep, and what is refused."""

import json
import shlex
import shutil

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.cli import run as command
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.run_folder import CONFIG, RunFolder
from fedvlm_flwr.sealed import sealed
from fedvlm_flwr.sweeps.outcomes import JOBS, Outcome
from fedvlm_flwr.sweeps.place import job_name

WORDS = ["eval.shuffled=false", "eval.max_examples=5", "num_rounds=2", "dataset.tasks=[vqa]"]


def cut_short(folder: RunFolder) -> None:
    """As if the run had been killed when all was done but the last few files."""
    facts = json.loads((folder.path / "checkpoint.json").read_text())
    folder.write("checkpoint.json", json.dumps(sealed({**facts, "finished": False})))
    (folder.path / "cost.json").unlink()


@pytest.fixture(scope="module")
def sweep(small, tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    words = [*small, *WORDS, "seed=0,1", f"output_dir={root}"]
    assert main(["run", "-m", *words]) == 0
    (folder,) = root.iterdir()
    return words, folder


def test_a_run_goes_on_with_what_it_was_started_with(sweep, capsys):
    _, root = sweep
    folder = RunFolder(sorted(root.iterdir())[1])
    cut_short(folder)
    assert main(["run", f"resume={folder.path}"]) == 0
    out = capsys.readouterr().out
    assert "going on after round 2" in out
    assert "seed 1" in out
    assert out.strip().splitlines()[-1] == f"run folder: {folder.path}"
    assert folder.is_finished() and folder.cost()


def test_a_changed_key_is_refused(sweep, capsys):
    _, root = sweep
    folder = sorted(root.iterdir())[0]
    assert main(["run", f"resume={folder}", "train.lr=0.1"]) == 1
    assert "train.lr was 0.003 and is 0.1" in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main(["run", f"resume={tmp_path}"]) == 1
    assert "holds no run" in capsys.readouterr().err


def test_a_sweep_goes_on_with_the_runs_that_did_not_finish(sweep, capsys):
    words, root = sweep
    first, second = (RunFolder(path) for path in sorted(root.iterdir()))
    cut_short(second)
    assert main(["run", "-m", *words, f"resume={root}"]) == 0
    out = capsys.readouterr().out
    assert f"already finished: {first.path}" in out
    assert "going on after round 2" in out
    assert f"sweep folder: {root}" in out
    assert len(list(root.iterdir())) == 2
    assert second.is_finished()


def test_a_finished_run_of_another_configuration_is_none_of_the_sweep(sweep, capsys):
    """Not even where its folder has the name of the job."""
    words, root = sweep
    others = [word for word in words if not word.startswith("seed=")]
    second = sorted(root.iterdir())[1]
    second.rename(root / "000")
    assert main(["run", "-m", *others, "seed=7", f"resume={root}"]) == 1
    told = capsys.readouterr()
    assert "already finished" not in told.out
    assert "seed was 1 and is 7" in told.err
    (root / "000").rename(second)


def test_the_same_command_goes_on_with_its_sweep(sweep, capsys):
    """Without naming its folder, and in whatever order its words are."""
    words, root = sweep
    first, second = (RunFolder(path) for path in sorted(root.iterdir()))
    cut_short(first)
    assert main(["run", *reversed(words), "--multirun"]) == 0
    out = capsys.readouterr().out
    assert f"already finished: {second.path}" in out
    assert "going on after round 2" in out
    assert sorted(root.iterdir()) == [first.path, second.path]


def test_two_commands_at_one_sweep_tell_each_of_its_own_jobs(sweep, capsys):
    words, root = sweep
    others = root / JOBS / "another"
    Outcome("seed=1", error="a fault").write(others, 0)
    assert main(["run", "-m", *words]) == 0
    assert "runs failed" not in capsys.readouterr().err
    assert [each.error for each in Outcome.read(others)] == ["a fault"]
    shutil.rmtree(root / JOBS)


def test_names_of_a_sweep_and_its_jobs_hold_only_what_varies(sweep):
    root = sweep[1]
    assert root.name.startswith("seed-") and len(root.name) == len("seed-") + 8
    assert [path.name for path in sorted(root.iterdir())] == ["000-seed=0", "001-seed=1"]


def test_runs_are_where_the_command_is_called(small, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("FEDVLM_RUNS")
    monkeypatch.chdir(tmp_path)
    words = ["run", *small, *WORDS[:2], "num_rounds=1", "num_clients=1", "dataset.tasks=[vqa]"]
    assert main([*words, "run_name=mine"]) == 0
    assert capsys.readouterr().out.strip().endswith(f"run folder: {tmp_path / 'runs' / 'mine'}")
    monkeypatch.setenv("FEDVLM_RUNS", str(tmp_path / "elsewhere"))
    assert main([*words, "-m", "seed=choice(3)"]) == 0
    (folder,) = (tmp_path / "elsewhere").iterdir()
    assert [path.name for path in folder.iterdir()] == ["000-seed=3"]


def test_a_launcher_may_run_jobs_side_by_side(small, tmp_path, capsys):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = [*small, *WORDS, "num_clients=1", "train.lr=0.1,0.2,-1", f"output_dir={tmp_path}"]
    assert main(["run", "-m", *words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]) == 1
    (root,) = tmp_path.iterdir()
    finished = [path.name for path in sorted(root.iterdir()) if RunFolder(path).is_finished()]
    assert finished == ["000-train.lr=0.1", "001-train.lr=0.2"]
    assert "1 runs failed: experiment=smoke" in capsys.readouterr().err


def test_names_of_long_jobs_differ_where_the_jobs_do():
    long = ",".join(f"train.weight_decay=0.{i:030d}" for i in range(9))
    names = {job_name(0, f"{long},seed={seed}") for seed in range(3)}
    assert len(names) == 3
    assert all(len(name.encode()) <= 120 for name in names)


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path):
    folders = [RunFolder.claim(tmp_path, "20260101-000000-fedavg").path.name for _ in range(3)]
    assert folders == [f"20260101-000000-fedavg{end}" for end in ("", "-2", "-3")]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        RunFolder.claim(tmp_path / "file", "x")


ODD = ["a b=ü,[x]", "it's {y}", 'q"q#$HOME %s', "\\", "+~"]


@pytest.mark.parametrize("name", ODD)
def test_a_folder_may_have_any_name(small, tmp_path, capsys, name):
    """As output_dir and as a run to go on with, unquoted as a shell hands it over."""
    words = [*small, *WORDS[:2], "num_rounds=1", "num_clients=1", "dataset.tasks=[vqa]"]
    root = tmp_path / name
    assert main(["run", *words, f"output_dir={root}", "run_name=r"]) == 0
    assert (root / "r" / "adapter").is_dir()
    assert main(["run", f"resume={root / 'r'}"]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1] == f"run folder: {root / 'r'}"


def test_a_fault_in_one_job_leaves_the_others_and_tells_the_exit_status(
    small, tmp_path, monkeypatch, capsys
):
    federate = command.run_federation

    def faulty(config, run_config, folder):
        if config.seed == 0:
            raise ZeroDivisionError("a fault of ours")
        return federate(config, run_config, folder)

    monkeypatch.setattr(command, "run_federation", faulty)
    words = [*small, *WORDS, "seed=0,1", f"output_dir={tmp_path}"]
    assert main(["run", "-m", *words]) == 1
    told = capsys.readouterr()
    assert "a fault of ours" in told.err
    assert "1 runs failed" in told.err and "seed=0" in told.err
    assert "run folder: " in told.out


@pytest.mark.parametrize("how", [KeyboardInterrupt(), SystemExit(143)], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("begun", [False, True])
def test_an_ended_run_says_how_to_go_on(small, tmp_path, monkeypatch, capsys, how, begun):
    def ended(*words):
        if begun:
            words[-1].with_name(CONFIG).touch()
        raise how

    monkeypatch.setattr(command, "run_app", ended)
    words = ["run", *small, *WORDS, f"output_dir={tmp_path}", "run_name=it's"]
    try:
        status = main(words)
    except SystemExit as exit_:
        status = exit_.code
    assert status == (130 if isinstance(how, KeyboardInterrupt) else 143)
    (line,) = capsys.readouterr().err.splitlines()[:1]
    if not begun:
        assert line == "ended. It had not begun: start it anew."
        return
    (word,) = [w for w in shlex.split(line) if w.startswith("resume=")]
    assert word == "resume=" + str(tmp_path / "it's")
