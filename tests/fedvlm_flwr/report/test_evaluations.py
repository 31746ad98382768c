"""Runs scored on other records as one table, on folders made by hand."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvlm_flwr.cli import main
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.evaluation_folder import run_of
from fedvlm_flwr.report.reading import read_experiment
from fedvlm_flwr.report.sections.evaluations import section, table_of
from fedvlm_flwr.report.tables.base import Table
from tests.fedvlm_flwr.report.folders import line, write_run

INTERVAL = (0.1, 0.2)  # how far its ends are below and above a score


def evaluate(
    run: Path,
    name: str,
    scores: Mapping[str, float],
    records: str = "0 1 2",
    **settings: Any,
) -> None:
    """An evaluation of a run, by the name of its dataset.

    Args:
        scores: accuracy by task.
        records: the ids of what was scored.
        settings: of `dataset` and `eval`.
    """
    folder = run / "evaluations" / name
    folder.mkdir(parents=True)
    dataset = settings.pop("dataset", name.partition("-")[0])
    data = {"name": dataset, "kind": "folder", "root": settings.pop("root", None)}
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree |= {"dataset": data, "eval": {"split": "test", "max_new_tokens": len(dataset), **settings}}
    lines = [
        line(2, "server", task, metric, value)
        for task, score in scores.items()
        for metric, value in {
            "accuracy": score,
            "accuracy_low": score - INTERVAL[0],
            "accuracy_high": score + INTERVAL[1],
            "control_majority_accuracy": 0.1,
            "full": 1.0,
        }.items()
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    asked = [{"task": task, "id": each} for task in scores for each in records.split()]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    (folder / "evaluation.yaml").write_text(yaml.safe_dump(tree))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two algorithms and two seeds, scored on two datasets of which one has two tasks."""
    for algorithm, base in (("fedavg", 0.4), ("central", 0.6)):
        for seed in (0, 1):
            name = f"{algorithm}-{seed}"
            run = write_run(tmp_path / name, [0.2, 0.5], algorithm=algorithm, seed=seed)
            own = base + 0.2 * seed
            evaluate(run, "slake", {"vqa": own})
            evaluate(run, "nature", {"vqa": own + 0.05, "classification": own - 0.05})
    return tmp_path


def cells(table: Table) -> dict[str, dict[str, str]]:
    heads = list(table.full_headings())
    return {
        one.cells[0].text: dict(zip(heads[1:], [c.text for c in one.cells[1:]], strict=True))
        for one in table.lines
    }


def of(root: Path, *metrics: str) -> Table:
    table = table_of(read_experiment(root, metrics))
    assert table is not None
    return table


def test_rows_are_runs_and_columns_datasets_and_metrics(sweep: Path) -> None:
    """Seeds 0.4 and 0.6: mean 0.5, deviation 0.1 sqrt(2)."""
    table = of(sweep)
    assert cells(table) == {
        "fedavg": {
            "nature: classification accuracy": "0.450 ± 0.141",
            "nature: vqa accuracy": "0.550 ± 0.141",
            "slake: vqa accuracy": "0.500 ± 0.141",
        },
        "central": {
            "nature: classification accuracy": "0.650 ± 0.141",
            "nature: vqa accuracy": "0.750 ± 0.141",
            "slake: vqa accuracy": "0.700 ± 0.141",
        },
    }
    assert [one.baseline for one in table.lines] == [False, True] and not table.warnings


def test_of_one_run_it_is_the_score_with_its_interval(sweep: Path, capsys) -> None:
    assert main(["report", str(sweep / "fedavg-0/evaluations")]) == 0
    text = capsys.readouterr().out
    assert "Scores on other records" in text and "0.400 [0.300, 0.600]" in text
    head, row = csv.reader((sweep / "fedavg-0/report/tables/evaluations.csv").open())
    own = dict(zip(head, row, strict=True))
    assert float(own["slake: vqa accuracy"]) == 0.4
    assert float(own["slake: vqa accuracy low"]) == pytest.approx(0.3)
    assert float(own["slake: vqa accuracy high"]) == pytest.approx(0.6)
    page = (sweep / "fedavg-0/report/report.html").read_text()
    assert '<section id="evaluations">' in page and "0.400 [0.300, 0.600]" in page


@pytest.mark.parametrize("place", ["evaluations", "evaluations/slake"])
def test_a_folder_of_evaluations_stands_for_its_run(sweep: Path, place: str) -> None:
    assert run_of(sweep / "fedavg-0" / place) == sweep / "fedavg-0"
    assert run_of(sweep / "fedavg-0") == sweep / "fedavg-0" and run_of(sweep) == sweep


def test_a_sweep_that_is_called_evaluations_is_a_sweep(tmp_path: Path) -> None:
    write_run(tmp_path / "evaluations" / "a", [0.2, 0.5])
    for place in ("evaluations", "evaluations/a"):
        assert run_of(tmp_path / place) == tmp_path / place


def test_splits_and_folders_of_one_name_are_columns_of_their_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0.2, 0.5])
    evaluate(run, "slake", {"vqa": 0.5}, root="/a")
    evaluate(run, "slake-validation", {"vqa": 0.6}, root="/a", split="validation")
    evaluate(run, "slake-2", {"vqa": 0.7}, root="/b")
    (own,) = cells(of(tmp_path)).values()
    assert {key: text[:5] for key, text in own.items()} == {
        "dataset.root=/a, eval.split=test: vqa accuracy": "0.500",
        "dataset.root=/a, eval.split=validation: vqa accuracy": "0.600",
        "dataset.root=/b, eval.split=test: vqa accuracy": "0.700",
    }


def test_of_the_same_records_the_newest_scores_count(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0.2, 0.5])
    for number in range(1, 12):
        name = "slake" if number == 1 else f"slake-{number}"
        evaluate(run, name, {"vqa": number / 100}, dataset="slake")
    (run / "evaluations" / "slake-12").mkdir()  # of a command that was killed
    (own,) = cells(of(tmp_path)).values()
    assert own["slake: vqa accuracy"].startswith("0.110 ")


def test_a_clients_own_model_is_a_row_of_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0.2, 0.5])
    evaluate(run, "slake", {"vqa": 0.5})
    evaluate(run, "slake-client_3-2", {"vqa": 0.9})
    rows = cells(of(tmp_path))
    assert list(rows) == ["fedavg, f_cl", "fedavg, f_cl, model of client 3"]
    assert rows["fedavg, f_cl, model of client 3"]["slake: vqa accuracy"].startswith("0.900")


def test_what_was_not_scored_everywhere_or_alike_is_said(sweep: Path) -> None:
    evaluate(sweep / "fedavg-0", "other", {"vqa": 0.5})
    evaluate(sweep / "fedavg-1", "apart", {"vqa": 0.5}, records="0 1")
    evaluate(sweep / "fedavg-0", "apart", {"vqa": 0.5})
    table = of(sweep)
    rows = cells(table)
    assert rows["fedavg"]["other: vqa accuracy"] == "–" == rows["central"]["apart: vqa accuracy"]  # noqa: RUF001
    assert rows["fedavg"]["apart: vqa accuracy"] == "0.500 ± 0.000"
    first, second = table.warnings
    assert first.startswith("Not the same examples for all runs on apart: ")
    assert second == "–: not every run of the row was scored there."  # noqa: RUF001


def test_another_metric_is_shown_where_it_is_asked_for(sweep: Path) -> None:
    table = of(sweep, "vqa.accuracy_low")
    assert cells(table)["fedavg"]["slake: vqa accuracy_low"] == "0.400 ± 0.141"


def test_without_evaluations_there_is_no_such_section(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [0.2, 0.5])
    assert section(read_experiment(tmp_path)) is None


def test_a_damaged_evaluation_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0.2, 0.5])
    evaluate(run, "slake", {"vqa": 0.5})
    (run / "evaluations/slake/metrics.jsonl").write_text("{\n")
    with pytest.raises(RunError, match=r"slake/metrics.jsonl, line 1 is damaged"):
        table_of(read_experiment(tmp_path))
