"""A finished run's model is scored elsewhere, and nothing else of it is changed."""

import re
import shutil
from pathlib import Path

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.cli.evaluate import runs_in
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.evaluation_folder import EvaluationFolder
from fedvlm_flwr.report.reading import read_experiment
from fedvlm_flwr.report.sections.evaluations import table_of
from fedvlm_flwr.report.sweep import read_sweep
from fedvlm_flwr.run_folder import CHECKPOINT, METRICS, PREDICTIONS, RunFolder
from tests import forms


def values(folder: RunFolder) -> dict[tuple[str, str], float]:
    """The last scores of the server by task and metric."""
    lines = [line for line in folder.lines(METRICS) if line["where"] == "server"]
    return {(line["task"], line["metric"]): line["value"] for line in lines if line["round"] == 1}


def evaluated(text: str) -> EvaluationFolder:
    (place,) = re.findall(r"evaluation folder: (\S+)", text)
    return EvaluationFolder(Path(place))


def test_on_its_own_test_set_a_run_scores_as_before(run_copy: RunFolder, capsys) -> None:
    before = {path.name: path.read_bytes() for path in run_copy.path.iterdir() if path.is_file()}
    assert main(["evaluate", str(run_copy.path)]) == 0
    text = capsys.readouterr().out
    folder = evaluated(text)
    assert folder.path == run_copy.path / "evaluations" / "easyvqa"
    own, run = values(folder), values(run_copy)
    assert {name for name in run if name[0] != "train"} - own.keys() == {
        name for name in run if "local_" in name[1]
    }
    assert all(value == run[name] for name, value in own.items())
    for row in ("95 % from", "majority answer", r"\.\.\. of the question"):
        assert re.search(rf"^ {row} +\d", text, re.MULTILINE)
    pairs = zip(folder.lines(PREDICTIONS), run_copy.lines(PREDICTIONS), strict=True)
    assert all(mine == {k: v for k, v in run.items() if k != "client"} for mine, run in pairs)
    after = {path.name: path.read_bytes() for path in run_copy.path.iterdir() if path.is_file()}
    assert after == before and len(read_sweep(run_copy.path).runs) == 1
    assert main(["evaluate", "-m", str(run_copy.path)]) == 0
    assert f"already scored: {folder.path}" in capsys.readouterr().out
    assert main(["evaluate", str(run_copy.path)]) == 0  # by itself it is made anew
    assert evaluated(capsys.readouterr().out).path.name == "easyvqa-2"


def test_the_shuffled_control_the_split_and_a_sample(run_copy: RunFolder, capsys) -> None:
    words = ["eval.split=validation", "eval.max_examples=2", "eval.shuffled=true"]
    assert main(["evaluate", str(run_copy.path), *words]) == 0
    text = capsys.readouterr().out
    folder = evaluated(text)
    assert folder.path.name == "easyvqa-validation-2_examples"
    assert re.search(r"^ shuffled images +\d", text, re.MULTILINE)
    tasks = [line["task"] for line in folder.lines(PREDICTIONS)]
    assert {task: tasks.count(task) for task in tasks} == dict.fromkeys(
        ("captioning", "classification", "detection", "vqa"), 2
    )
    assert not {line["id"] for line in folder.lines(PREDICTIONS)} & {
        line["id"] for line in run_copy.lines(PREDICTIONS)
    }


@pytest.mark.parametrize(
    "word",
    [
        "tuning=f_l",
        "seed=1",
        "model.dtype=bfloat16",
        "num_rounds=2",
        "eval.every=2",
        "eval.where=sites",
    ],
)
def test_a_key_that_would_change_the_model_is_refused(finished: RunFolder, capsys, word) -> None:
    assert main(["evaluate", str(finished.path), word]) == 1
    assert f"{word} is no key of an evaluation" in capsys.readouterr().err
    assert not (finished.path / "evaluations").exists()


def test_runs_on_datasets_make_one_table(
    run_copy: RunFolder, tmp_path: Path, monkeypatch, capsys
) -> None:
    """Two seeds are one row; records of one's own, without any to train on, are a column."""
    data = tmp_path / "my_data"
    data.mkdir()
    forms.pictures(data)
    forms.lines(data / "test.jsonl", forms.flat())
    runs = tmp_path / "runs"
    for seed in ("0", "1"):
        config = shutil.copytree(run_copy.path, runs / f"seed={seed}") / "config.yaml"
        config.write_text(config.read_text().replace("\nseed: 0\n", f"\nseed: {seed}\n"))
    monkeypatch.chdir(tmp_path)
    own = ["dataset.root=my_data", "dataset.task=vqa", "eval.max_new_tokens=4"]
    assert main(["evaluate", "-m", "runs", "dataset=folder", *own, "eval.split=test"]) == 0
    table = capsys.readouterr().out
    assert re.search(r"^ *runs +scored on +n +vqa accuracy$", table, re.MULTILINE)
    assert re.search(r"^ \S+ +2 +\d\.\d{3} ± \d\.\d{3}$", table, re.MULTILINE)
    assert "not the same examples" not in table
    config = runs / "seed=1" / "config.yaml"
    config.write_text(config.read_text().replace("test_pictures: 3", "test_pictures: 2"))
    assert main(["evaluate", "-m", "runs"]) == 0
    assert "\nnot the same examples for all runs: their own" in capsys.readouterr().out
    assert main(["evaluate", "-m", "runs/seed=0", "eval.split=test,validation"]) == 0
    table = capsys.readouterr().out
    cell = r" +\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]"
    for split in ("test", "validation"):
        assert re.search(rf"^ \S+ +eval\.split={split} +1({cell}){{4}}$", table, re.MULTILINE)
    columns = table_of(read_experiment(Path("runs/seed=0")))
    assert columns is not None
    (line,) = columns.lines  # what the folders of evaluations say: two splits, and other records
    texts = dict(zip(columns.full_headings(), [own.text for own in line.cells], strict=True))
    assert len(texts) == 1 + 4 + 4 + 1
    assert all(re.fullmatch(cell, f" {text}") for name, text in texts.items() if name)
    assert {name.rpartition(": ")[0] for name in texts if name} == {
        "easyvqa, eval.split=test",
        "easyvqa, eval.split=validation",
        "folder, eval.split=test",
    }


def test_one_run_at_a_time_unless_several_are_meant(finished: RunFolder, tmp_path, capsys) -> None:
    assert main(["evaluate"]) == 1
    assert "0 run folders are named" in capsys.readouterr().err
    assert main(["evaluate", str(finished.path), str(tmp_path)]) == 1
    assert "2 run folders are named" in capsys.readouterr().err
    assert main(["evaluate", "-m", str(tmp_path)]) == 1
    assert "holds no finished run" in capsys.readouterr().err


def test_of_a_sweep_what_is_not_finished_is_left_out(run_copy: RunFolder, tmp_path, capsys) -> None:
    begun = shutil.copytree(run_copy.path, tmp_path / "begun")
    (begun / CHECKPOINT).unlink()
    assert [run.folder.path for run in runs_in(tmp_path)] == [run_copy.path]
    assert f"left out (not finished): {begun}" in capsys.readouterr().out
    with pytest.raises(RunError, match="is not finished; go on with it"):
        runs_in(begun)
