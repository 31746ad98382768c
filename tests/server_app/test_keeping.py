"""`eval.keep=best`: the round that is best on validation records, and early stopping."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.process import this_process
from fedvlm_flwr.report.compare import compare
from fedvlm_flwr.report.sweep import read_sweep
from fedvlm_flwr.report.table import result_table
from fedvlm_flwr.run_folder import METRICS, RunFolder
from server_app.saved import read_checkpoint

# A rate at which the tiny model forgets, the more the longer it is trained.
WORSE = ("dataset.tasks=[vqa]", "train.lr=0.025", "train.schedule=constant", "num_rounds=4")
WORSE += ("num_clients=2", "eval.shuffled=false", "dataset.test_pictures=20", "train.local_steps=6")
BEST = (*WORSE, "eval.keep=best", "eval.max_examples=20")


@pytest.fixture(scope="module")
def best(start):
    return start(*BEST, name="best")


def values(folder: RunFolder, where: str, metric: str) -> dict[int, float]:
    return {
        line["round"]: line["value"]
        for line in folder.lines(METRICS)
        if (line["where"], line["metric"]) == (where, metric)
    }


def test_the_best_round_on_validation_records_is_what_is_scored_and_saved(best):
    scores = values(best, "validation", "accuracy")
    assert sorted(scores) == [1, 2, 3, 4]
    number = max(scores, key=lambda n: (scores[n], -n))
    assert values(best, "server", "best_round") == {4: number}
    assert number < 4, "the test wants a run that gets worse"
    saved = read_checkpoint(best)
    state = saved.state
    kept = {n.removeprefix("best/arrays/"): v for n, v in state.server.items() if "arrays/" in n}
    assert kept.keys() == state.arrays.keys()
    assert any(not np.array_equal(kept[n], v) for n, v in state.arrays.items())
    adapter = load_file(best.path / "adapter" / "adapter_model.safetensors")
    name = next(n for n in kept if n.endswith("lora_B"))
    layer = name.removeprefix("llm.").removesuffix(".lora_B")
    (tensor,) = [v for n, v in adapter.items() if layer in n and "lora_B" in n]
    np.testing.assert_array_equal(tensor, kept[name])


def test_tables_say_whose_model_it_is(best):
    number = int(values(best, "server", "best_round")[4])
    assert f"the last scores are of round {number}'s model" in result_table(best)
    comparison = compare(read_sweep(best.path))
    assert any(f"best round on validation records ({number})" in note for note in comparison.notes)
    assert main(["report", str(best.path)]) == 0
    page = (best.path / "report" / "report.html").read_text()
    assert f"best on validation records (rounds {number})" in page


def test_nobody_trains_on_validation_records(best):
    plain = compose({"overrides": " ".join(WORSE)})
    own = compose({"overrides": " ".join(BEST)})
    process = this_process()
    tuned = compose({"overrides": " ".join((*WORSE, "eval.split=validation"))})
    whole, rest = (set(process.tables(each).train["id"]) for each in (plain, own))
    held = set(process.tables(tuned).test["id"])
    assert held and rest == whole - held
    assert process.tables(own).test["id"] == process.tables(plain).test["id"]


def test_a_stage_ends_when_nothing_better_comes(start, best):
    folder = start(*BEST, "eval.patience=1", name="patient")
    scores = values(best, "validation", "accuracy")
    number = next(iter(values(folder, "server", "best_round").values()))
    last = max(values(folder, "server", "loss"))
    assert number == last - 1 and last < 4
    assert scores[last] <= scores[number] == max(scores[n] for n in range(1, last + 1))
    assert folder.is_finished()
    facts = json.loads((folder.path / "checkpoint.json").read_text())
    assert facts["round"] == last


def test_what_cannot_be_chosen_by_is_named(start):
    with pytest.raises(Exception, match=r"eval.keep_by=vqa.beauty.*vqa.accuracy"):
        start(*BEST, "eval.keep_by=vqa.beauty", name="beauty")
    with pytest.raises(Exception, match=r"clients have models of their own"):
        start(*BEST, "tuning=share_lora", name="own")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("eval.patience=2", "go with eval.keep=best"),
        ("eval.keep=best eval.split=validation", "choose one of the two"),
        ("eval.keep=best eval.where=sites engine=superlink", "set eval.keep=last"),
    ],
)
def test_contradictions_are_refused(words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        compose({"overrides": words})
