"""Thousands of registered clients: what must not be done once for each, or for each pair."""

import shlex
from collections.abc import Iterator, Set
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import Dataset
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr_datasets.partitioner import IidPartitioner

from fedvlm_flwr import engines
from fedvlm_flwr.config import compose
from fedvlm_flwr.data.partitions import base, partition_table
from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.process import Process
from fedvlm_flwr.run_folder import METRICS
from fedvlm_flwr.seeding import stream
from tests import choices

FEW = ("dataset.tasks=[vqa]", "dataset.test_pictures=2", "eval.shuffled=false", "eval.every=9")


@pytest.mark.parametrize(("units", "parts"), [(10, 3), (7, 7), (100, 64), (5, 1)])
def test_even_parts_are_those_of_flwr_datasets(units: int, parts: int) -> None:
    rows = [[2 * unit, 2 * unit + 1] for unit in range(units)]
    every = base.Units(rows, [""] * units)
    expected = base.assign(IidPartitioner(parts), every, parts, stream(1, "partition"))
    assert base.assign_iid(rows, parts, stream(1, "partition")) == expected


def test_no_table_is_made_for_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset.from_dict({"image": [str(i) for i in range(500)], "task": ["vqa"] * 500})
    tables: list[Any] = []
    make = Dataset.__init__

    def counted(self: Dataset, *args: Any, **more: Any) -> None:
        tables.append(self)
        make(self, *args, **more)

    monkeypatch.setattr(Dataset, "__init__", counted)
    assert len(partition_table(choices.partition("iid", {}), data, 500, 0)) == 500
    assert len(tables) < 10


def test_a_message_costs_no_reading_of_the_run_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one brings it, and it is the same one."""
    process, run_config = Process(), {"overrides": "num_clients=3 train.lr=1e-3", "seed": 4}
    first = process.compose(run_config)
    monkeypatch.setattr(shlex, "split", None)
    assert process.compose(dict(reversed(run_config.items()))) is first


class Ids(Set[str]):
    """Ids that may be looked up, and not gone through: there are thousands of them."""

    def __init__(self, *ids: str) -> None:
        self._ids = ids

    def __contains__(self, one: object) -> bool:
        return one in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("gone through")


def test_replies_are_pulled_without_going_through_all_that_are_waited_for() -> None:
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    grid = InProcessGrid(app, {}, 3)
    ids = grid.push_messages(Message(RecordDict(), node, "query") for node in grid.get_node_ids())
    (reply,) = grid.pull_messages(Ids(*ids))
    assert reply.metadata.reply_to_message_id == next(iter(ids))


@pytest.mark.parametrize(
    ("clients", "nodes", "expected"),
    [(10_000, "64", 64), (5, "64", 5), (10_000, "null", 10_000), (300, "100", 100)],
)
def test_a_limited_number_of_nodes_serves_all_clients(
    monkeypatch: pytest.MonkeyPatch, clients: int, nodes: str, expected: int
) -> None:
    numbers: list[int] = []
    kind = SimpleNamespace(run=lambda *words: numbers.append(words[3]))
    monkeypatch.setattr(engines, "engine_kind", lambda name: kind)
    engine = compose({"overrides": f"engine.num_supernodes={nodes}"}).engine
    engines.run_app(None, {}, engine, clients, None)  # type: ignore[arg-type]
    assert numbers == [expected]


def test_by_default_there_are_fewer_nodes_than_thousands_of_clients() -> None:
    for engine in ("ray", "inprocess"):
        assert compose({"engine": engine}).engine.num_supernodes == 64


def test_clients_that_share_nodes_come_to_the_same(start) -> None:
    """With control variates, which stay with the client and not with the node."""
    words = ("algorithm=scaffold", "train.local_steps=1", *FEW)
    one_each, shared = (start(*words, f"engine.num_supernodes={n}") for n in ("null", 2))

    def numbers(folder):
        lines = folder.lines(METRICS)
        return [line for line in lines if line["metric"] != "seconds" and "memory" not in line]

    assert numbers(one_each) == numbers(shared)
