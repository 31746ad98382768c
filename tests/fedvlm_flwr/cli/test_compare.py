"""Two runs example by example, from the command line."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.run_folder import CHECKPOINT, METRICS, PREDICTIONS, RunFolder


def test_scores_by_example_have_the_runs_scores_as_their_mean(finished: RunFolder) -> None:
    values: dict[tuple[str, str], list[float]] = {}
    for line in finished.lines(PREDICTIONS):
        for metric, value in line["scores"].items():
            values.setdefault((line["task"], metric), []).append(value)
    run = {
        (line["task"], line["metric"]): line["value"]
        for line in finished.lines(METRICS)
        if line["where"] == "server" and line["round"] == 1
    }
    assert {task for task, _ in values} == {"captioning", "classification", "detection", "vqa"}
    assert {pair: run[pair] for pair in values} == {
        pair: pytest.approx(fmean(own)) for pair, own in values.items()
    }


def test_a_run_and_one_with_other_answers(finished: RunFolder, run_copy: RunFolder, capsys) -> None:
    lines = list(run_copy.lines(PREDICTIONS))
    flips = [line for line in lines if line["task"] == "vqa" and line["scores"]["accuracy"]][:3]
    for line in flips:
        line |= {"prediction": "another", "scores": line["scores"] | {"accuracy": 0.0}}
    (run_copy.path / PREDICTIONS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["compare", str(finished.path), str(run_copy.path), "--examples", "2"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f"A: {finished.path}\nB: {run_copy.path}\n" in text
    count = sum(line["task"] == "vqa" for line in lines)
    row = rf"^ vqa accuracy +{count} .* -0\.\d{{3}} .* 0 +3 +0\.2500$"
    assert re.search(row, text, re.MULTILINE)
    assert re.search(r"^ detection iou +3 +\d\.\d{3} .*\+0\.000 to \+0\.000$", text, re.MULTILINE)
    assert "vqa, by accuracy: 3 examples changed" in text and text.count("    B: another") == 2
    # By how unlike answers there are, the metrics of the examples are the ones asked for.
    assert main([*command, "--metric", "vqa.accuracy", "detection.fly"]) == 1
    assert "Unknown metric 'detection.fly'; choose one of: " in capsys.readouterr().err


def test_evaluations_are_compared_too_and_other_folders_refused(
    run_copy: RunFolder, tmp_path: Path, capsys
) -> None:
    assert main(["evaluate", str(run_copy.path), "dataset.test_pictures=2"]) == 0
    place = run_copy.path / "evaluations" / "easyvqa"
    assert main(["compare", str(place), str(place)]) == 0
    assert "examples changed" not in capsys.readouterr().out
    assert main(["compare", str(place), str(run_copy.path)]) == 1
    assert "were scored on different examples" in capsys.readouterr().err
    assert main(["compare", str(place), str(tmp_path)]) == 1
    assert "holds neither a run nor an evaluation" in capsys.readouterr().err
    for name in (CHECKPOINT, METRICS):
        (run_copy.path / name).unlink()
    assert main(["compare", str(place), str(run_copy.path)]) == 1
    assert "is not finished" in capsys.readouterr().err
