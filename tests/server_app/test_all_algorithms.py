"""Each algorithm in a real federation of the tiny model, on its way up and repeatable."""

import shlex
import sys

import numpy as np
import pytest
import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Result

from fedvlm_flwr.config import compose
from fedvlm_flwr.engines import App, run_app
from fedvlm_flwr.messages.wire import pack, unpack
from fedvlm_flwr.plugins import available
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import METRICS, RunFolder
from server_app.saved import read_checkpoint
from strategies import load_strategy
from strategies.core.federation import Federation
from tests.facts import declared

ALL = available("strategies")
ROBUST = declared("tests.strategies", ALL, "ROBUST")
OWN_MODELS = {  # clients score models of their own
    **declared("tests.strategies", ALL, "SHARES_NOTHING"),
    **declared("tests.strategies", ALL, "OWN_MODELS"),
}
SHORT = ("num_clients=5", "eval.every=9", "eval.shuffled=false", "dataset.tasks=[classification]")


def accuracy(folder: RunFolder, number: int) -> float:
    (value,) = [
        line["value"]
        for line in folder.lines(METRICS)
        if (line["round"], line["task"], line["metric"]) == (number, "classification", "accuracy")
        and line["where"] in ("server", "clients")
    ]
    return value


# A ServerApp that knows nothing of ours but the strategies.
stranger = ServerApp()


@stranger.main()
def main(grid: Grid, context: Context) -> None:
    config = compose(context.run_config)
    strategy = load_strategy(config.algorithm, Federation.of(config))
    initial = pack(this_process().model(config, torch.device("cpu")).initial[0])
    RESULTS[config.algorithm.name] = strategy.start(grid, initial, num_rounds=config.num_rounds)


RESULTS: dict[str, Result] = {}


@pytest.mark.parametrize("name", ALL)
def test_it_learns_and_runs_the_same_under_flowers_own_start(start, app, small, name, monkeypatch):
    ours = start(f"algorithm={name}", *SHORT)
    assert accuracy(ours, 2) > accuracy(ours, 0)
    weighting = [line["value"] for line in ours.lines(METRICS) if line["metric"] == "weighting"]
    assert weighting == (["uniform"] if name in ROBUST else [])
    monkeypatch.setitem(sys.modules, "stranger", sys.modules[__name__])
    run_config = {"overrides": shlex.join([*small, f"algorithm={name}", *SHORT])}
    theirs = App("stranger:stranger", app.client)
    run_app(theirs, run_config, compose(run_config).engine, 5, ours.path / "stranger.log")
    saved = read_checkpoint(ours)
    arrays = unpack(RESULTS[name].arrays)
    strategy = load_strategy(compose(run_config).algorithm, Federation.of(compose(run_config)))
    strategy.state = saved.state
    assert arrays.keys() == saved.state.arrays.keys()
    for key, values in strategy.served().items():
        np.testing.assert_array_equal(arrays[key], values, err_msg=key)
    scores = RESULTS[name].evaluate_metrics_clientapp
    assert bool(scores) == (name in OWN_MODELS)
    if scores:
        assert scores[2]["classification/accuracy"] == pytest.approx(accuracy(ours, 2))


def steps(folder: RunFolder) -> int:
    return sum(line["value"] for line in folder.lines(METRICS) if line["metric"] == "steps")


@pytest.mark.parametrize("budget", [["train.local_steps=2"], ["train.local_steps=null"]])
def test_the_baselines_have_the_federations_budget(start, budget):
    epochs = ["train.local_epochs=1"] if "null" in budget[0] else []
    more = (*SHORT, *budget, *epochs, "train.batch_size=16", "num_clients=3", "num_rounds=1")
    found = {name: steps(start(f"algorithm={name}", *more)) for name in ("fedavg", "central")}
    found["local"] = steps(start("algorithm=local", *more))
    assert found["fedavg"] == found["central"] == found["local"] > 0


def test_local_scores_every_client_and_their_mean(start):
    folder = start("algorithm=local", *SHORT)
    last = {
        line["where"]: line["value"]
        for line in folder.lines(METRICS)
        if (line["round"], line["task"], line["metric"]) == (2, "classification", "accuracy")
    }
    clients = [last[f"client:{client}"] for client in range(5)]
    assert last["clients"] == pytest.approx(sum(clients) / 5)
    assert len(set(clients)) > 1, "all clients hold the same model"
    assert "server" not in last
    assert not (folder.path / "adapter").exists()


def test_tensorboard_holds_the_scores(start):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = start("report.trackers=[tensorboard]", *SHORT)
    events = accumulator.EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    found = {event.step: event.value for event in events.Scalars("classification/accuracy/server")}
    assert found == {n: pytest.approx(accuracy(folder, n), abs=1e-6) for n in (0, 2)}
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2]
