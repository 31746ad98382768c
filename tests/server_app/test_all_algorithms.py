"""Each algorithm in a real federation of the tiny model, on its way up and repeatable."""

import pytest

from fedvlm_flwr.plugins import available
from fedvlm_flwr.run_folder import METRICS, RunFolder

SHORT = ("num_clients=5", "eval.every=9", "eval.shuffled=false", "dataset.tasks=[vqa]")


def lines(folder: RunFolder) -> list[dict]:
    return [line for line in folder.lines(METRICS) if line["metric"] != "seconds"]


def accuracy(folder: RunFolder, number: int) -> float:
    (value,) = [
        line["value"]
        for line in folder.lines(METRICS)
        if (line["round"], line["task"], line["metric"]) == (number, "vqa", "accuracy")
        and line["where"] in ("server", "clients")
    ]
    return value


@pytest.mark.parametrize("name", available("strategies"))
def test_it_learns_and_the_same_seed_gives_the_same(start, name):
    first = start(f"algorithm={name}", *SHORT, name="a")
    assert accuracy(first, 2) > accuracy(first, 0)
    again = start(f"algorithm={name}", *SHORT, name="b")
    assert lines(first) == lines(again)


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
        if (line["round"], line["task"], line["metric"]) == (2, "vqa", "accuracy")
    }
    clients = [last[f"client:{client}"] for client in range(5)]
    assert last["clients"] == pytest.approx(sum(clients) / 5)
    assert len(set(clients)) > 1, "all clients hold the same model"
    assert "server" not in last
    assert not (folder.path / "adapter").exists()


def test_tensorboard_holds_the_scores(start):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = start("tensorboard=true", *SHORT)
    events = accumulator.EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    found = {event.step: event.value for event in events.Scalars("vqa/accuracy/server")}
    assert found == {n: pytest.approx(accuracy(folder, n), abs=1e-6) for n in (0, 2)}
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2]
