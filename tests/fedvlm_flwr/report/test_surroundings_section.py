"""What the runs were computed with, on folders made by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.cli.report import beside
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.report.page.render import render
from fedvlm_flwr.report.reading import read_experiment
from fedvlm_flwr.report.sections.surroundings import section, table_of
from fedvlm_flwr.report.tables.base import Table
from tests.fedvlm_flwr.report.folders import write_run

FACTS = {
    "seed": 0,
    "python": "3.11.7",
    "packages": {"torch": "2.8.0", "flwr": "1.41.0"},
    "source": "ab" * 32,
    "commit": "cd" * 20 + "+",
    "device": "AMD <EPYC>",
    "threads": 1,
}


def start(run: Path, **facts: Any) -> None:
    """A line of a run's surroundings."""
    with (run / "surroundings.jsonl").open("a") as file:
        file.write(json.dumps(FACTS | facts) + "\n")


def lines(table: Table) -> list[list[str]]:
    return [[cell.text for cell in line.cells] for line in table.lines]


def of(root: Path) -> Table:
    table = table_of(read_experiment(root))
    assert table is not None
    return table


def test_a_run_shows_its_seed_versions_source_commit_and_device(tmp_path: Path) -> None:
    start(write_run(tmp_path / "run", [0.2, 0.5]))
    assert lines(of(tmp_path)) == [
        ["seed", "0", "all"],
        ["python", "3.11.7", "all"],
        ["torch", "2.8.0", "all"],
        ["flwr", "1.41.0", "all"],
        ["source", "abababababab", "all"],
        ["commit", "cdcdcdcdcdcd+", "all"],
        ["device", "AMD <EPYC>", "all"],
        ["threads", "1", "all"],
    ]
    experiment = read_experiment(tmp_path)
    own = section(experiment)
    assert own is not None and list(beside(experiment)) == []
    page = render(experiment, [own])
    assert '<section id="surroundings">' in page and "AMD &lt;EPYC&gt;" in page


def test_where_runs_differ_it_is_said_and_by_which(tmp_path: Path) -> None:
    """Seeds differ on purpose."""
    for seed in range(6):
        run = write_run(tmp_path / f"run-{seed}", [0.2, 0.5], seed=seed)
        start(run, seed=seed, device="NVIDIA H100" if seed else "AMD <EPYC>")
    start(tmp_path / "run-5", seed=5, device="NVIDIA H100", packages={"torch": "2.9.0"})
    table = of(tmp_path)
    (warning,) = table.warnings
    assert "they differ in torch, flwr, device." in warning
    own = lines(table)
    assert ["device", "AMD <EPYC>", "run-0"] in own
    assert ["device", "NVIDIA H100", "run-1, run-2, run-3, run-4, 2 more"] in own
    assert ["torch", "2.9.0", "run-5 (start 2)"] in own
    assert ["flwr", "none", "run-5 (start 2)"] in own
    assert ["python", "3.11.7", "all"] in own
    assert list(beside(read_experiment(tmp_path))) == [warning]


def test_of_older_runs_it_says_that_they_have_none(tmp_path: Path) -> None:
    write_run(tmp_path / "old", [0.2, 0.5], seed=1)
    assert section(read_experiment(tmp_path)) is None
    start(write_run(tmp_path / "new", [0.2, 0.5]))
    assert of(tmp_path).warnings == ["Without a surroundings.jsonl: old."]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    start(write_run(tmp_path / "run", [0.2, 0.5]), packages=["torch"])
    with pytest.raises(RunError, match=r"surroundings.jsonl, line 1 is damaged"):
        table_of(read_experiment(tmp_path))
