"""The benchmarks at their smallest: they run the real thing, and each way does the same work."""

import json
from pathlib import Path

import pytest

from benchmarks import empty_rounds, overhead, side_by_side, usual_apps, usual_way
from benchmarks.parts import PARTS, Line
from benchmarks.work import RECIPE
from fedvlm_flwr.engines.inprocess import InProcessGrid

FEW = ("train.local_steps=2", "train.batch_size=4", "dataset.train_pictures=8")
NONE_DROPPED = "tuning.lora.dropout=0"  # torch's dropout, which rivals have, draws other numbers


@pytest.mark.parametrize("system", ["ours, in process", "stock, in process"])
def test_empty_rounds(system):
    row = empty_rounds.measure(system, numbers=1000, clients=3, rounds=3)
    assert len(row["seconds"]) == len(row["cpu"]) == 2
    assert all(0 < seconds < 60 for seconds in row["seconds"])
    assert row["megabytes"] > 50


@pytest.mark.slow
def test_empty_rounds_on_ray():
    row = empty_rounds.in_a_process("ours, Ray", 1000, 2, 3, None)
    assert len(row["seconds"]) == 2


def test_a_bare_loop_comes_to_the_losses_of_a_run():
    row = overhead.measure("inprocess", 2, 1, *FEW)
    assert row["largest_difference_of_losses"] < 1e-5
    assert row["ratio"] > 0.5
    assert row["phases"]["local_training"] > 0


def test_a_loop_of_trainers_comes_to_the_losses_of_a_run():
    row = usual_way.measure("trainer", 2, 1, *FEW, NONE_DROPPED)
    ours, theirs = row["last_losses"]
    assert theirs == pytest.approx(ours, abs=1e-5)
    assert row["ratio"] > 0.5


def test_an_app_that_loads_the_base_comes_to_the_losses_of_a_bare_loop():
    words = [*RECIPE, "engine=inprocess", "num_rounds=2", "num_clients=2", *FEW]
    words.append(NONE_DROPPED)
    seconds, losses = usual_way.stock_rounds(InProcessGrid(usual_apps.app, {}, 2), words)
    assert len(seconds) == 2
    work = usual_way.Work(words)
    bare = overhead.Bare(work, work.clients())
    for number in (1, 2):
        bare.round(number, float)
        mean = usual_way.weighted_mean([(work.weight(k), x) for k, x in bare.losses[-1].items()])
        assert losses[number - 1] == pytest.approx(mean, abs=1e-5)


def test_parts_are_measured_apart_and_told_together(tmp_path: Path, monkeypatch, capsys):
    """A part that was never measured has no line; one that could not be says why."""

    def wire(options):
        return [Line("wire_bf16_ratio", "short", (0.6, 0.5, 0.4), "at most 0.45", "of bytes")]

    def make_run(options):
        return [Line("make_run_s", "clone", (), "at most 240", "without --make-run")]

    monkeypatch.setattr(side_by_side, "PARTS", (wire, make_run, *PARTS[:1]))
    for part in ("wire", "make_run"):
        words = ["--parts", part, "--raw", f"{tmp_path}/raw", "--out", f"{tmp_path}/out"]
        monkeypatch.setattr("sys.argv", ["side_by_side.py", *words])
        side_by_side.main()
    numbers = json.loads((tmp_path / "out/performance.json").read_text())
    assert numbers == {"wire_bf16_ratio": 0.5, "make_run_s": None}
    text = (tmp_path / "out/performance.md").read_text()
    assert (
        "| short (`wire_bf16_ratio`) | 0.5 | 0.4 to 0.6, 3 | at most 0.45 | **not met** |" in text
    )
    assert "| - | | at most 240 | not measured | without --make-run |" in text
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "aim", "met"), [(1.0, "at most 1", True), (3.0, "at least 5", False)]
)
def test_aims(value: float, aim: str, met: bool):
    assert Line("", "", (value,), aim).met is met
