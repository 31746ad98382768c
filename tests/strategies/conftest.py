"""A federation in one process whose clients are plain functions, or a few steps of torch's SGD."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pytest
import torch
import yaml
from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from torch import nn

from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.wire import Arrays, pack, unpack
from strategies import load_hook, load_strategy
from strategies.base import FederatedStrategy, Loop
from strategies.core.hooks import Opening
from strategies.core.order import Order
from tests import choices

CONF = Path(__file__).parents[2] / "conf" / "algorithm"

Train = Callable[[int, int, Arrays], RecordDict]
Whole = Callable[[RecordDict], RecordDict]
Site = Callable[[int], Mapping[str, int | bool]]


def simulated(partition: int) -> Mapping[str, int | bool]:
    return {"partition-id": partition, "simulated": True}


class MakeGrid(Protocol):
    """The signature of `make_grid`."""

    def __call__(
        self,
        train: Train,
        num_nodes: int = 2,
        site: Site = simulated,
        grid_class: type[InProcessGrid] = InProcessGrid,
        evaluate: Whole | None = None,
    ) -> InProcessGrid: ...


class GoodReply(Protocol):
    """The signature of `good_reply`."""

    def __call__(
        self,
        arrays: Arrays,
        num_examples: float = 1,
        loss: float = 0.0,
        extra: Arrays | None = None,
        **metrics: float,
    ) -> RecordDict: ...


class Federate(Protocol):
    """The signature of `federate`."""

    def __call__(
        self,
        name: str,
        train: Train | Whole,
        start: Arrays,
        params: Mapping[str, Any] | None = None,
        rounds: int = 1,
        grid: InProcessGrid | None = None,
        **loop: Any,
    ) -> FederatedStrategy: ...


@pytest.fixture
def make_grid() -> MakeGrid:
    """Nodes that answer with `train(client, round, shared arrays)` and call themselves `site`.

    Where `train` takes one argument, it gets the message's whole content.
    """

    def make(
        train: Train | Whole,
        num_nodes: int = 2,
        site: Site = simulated,
        grid_class: type[InProcessGrid] = InProcessGrid,
        evaluate: Whole | None = None,
    ) -> InProcessGrid:
        whole = len(inspect.signature(train).parameters) == 1
        app = ClientApp()

        @app.query()
        def query(message: Message, context: Context) -> Message:
            facts = site(cast(int, context.node_config["partition-id"]))
            return Message(RecordDict({"site": ConfigRecord(dict(facts))}), reply_to=message)

        @app.train()
        def handle(message: Message, context: Context) -> Message:
            if whole:
                return Message(cast(Whole, train)(message.content), reply_to=message)
            order = cast(ConfigRecord, message.content["config"])
            client, number = cast(int, order["client"]), cast(int, order["round"])
            shared = unpack(cast(ArrayRecord, message.content["arrays"]))
            return Message(cast(Train, train)(client, number, shared), reply_to=message)

        @app.evaluate()
        def score(message: Message, context: Context) -> Message:
            assert evaluate is not None, "nobody scores here"
            return Message(evaluate(message.content), reply_to=message)

        return grid_class(app, {}, num_nodes)

    return make


@pytest.fixture
def good_reply() -> GoodReply:
    """What a client that has trained sends."""

    def make(
        arrays: Arrays,
        num_examples: float = 1,
        loss: float = 0.0,
        extra: Arrays | None = None,
        **metrics: float,
    ) -> RecordDict:
        reply = RecordDict(
            {
                "arrays": pack(arrays),
                "metrics": MetricRecord({"num_examples": num_examples, "loss": loss, **metrics}),
                "source": ConfigRecord({"host": "here", "pid": "1"}),
            }
        )
        if extra:
            reply["extra"] = pack(extra)
        return reply

    return make


def shipped_params(name: str) -> dict[str, Any]:
    """An algorithm's parameters as its YAML has them."""
    params: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    assert params.pop("name") == name
    return params


@pytest.fixture
def federate(make_grid: MakeGrid) -> Federate:
    """Run an algorithm on a grid of clients: its YAML's parameters, but for those given."""

    def run(
        name: str,
        train: Train | Whole,
        start: Arrays,
        params: Mapping[str, Any] | None = None,
        rounds: int = 1,
        grid: InProcessGrid | None = None,
        **loop: Any,
    ) -> FederatedStrategy:
        size = loop.setdefault("num_clients", 2)
        cohort = loop.setdefault("cohort_size", size)
        facts = {"min_replies": cohort, "seed": 0, **loop}
        choice = choices.algorithm(name, shipped_params(name) | dict(params or {}))
        strategy = load_strategy(choice, Loop(**facts))
        nodes = grid or make_grid(cast(Train, train), size)
        strategy.start(nodes, pack(start), num_rounds=rounds, timeout=10)
        return strategy

    return run


CURVATURES, TARGETS, EXAMPLES = (1.0, 4.0), (1.0, -1.0), (1, 3)
SGD_LR = 0.1


class SgdClients(Protocol):
    """The signature of `sgd_clients`."""

    def __call__(
        self,
        name: str,
        params: Mapping[str, Any],
        steps: int = 10,
        examples: tuple[int, int] = EXAMPLES,
    ) -> Whole: ...


@pytest.fixture
def optimum() -> float:
    """Where the sum of the losses of `sgd_clients` is least: (1 * 1 + 4 * -1) / (1 + 4)."""
    return -0.6


@pytest.fixture
def sgd_clients(good_reply: GoodReply) -> SgdClients:
    """Clients that minimise curvature/2 (w - target)^2 by SGD, with an algorithm's real hook."""

    def make(
        name: str,
        params: Mapping[str, Any],
        steps: int = 10,
        examples: tuple[int, int] = EXAMPLES,
    ) -> Whole:
        disk: dict[tuple[int, int], Arrays] = {}

        def work(content: RecordDict) -> RecordDict:
            order = Order.read(cast(ConfigRecord, content["config"]))
            shared = unpack(cast(ArrayRecord, content["arrays"]))
            sent = unpack(cast(ArrayRecord, content["extra"])) if "extra" in content else {}
            kept = disk[order.client, order.kept_round] if order.kept_round else {}
            parameters = {n: nn.Parameter(torch.from_numpy(v.copy())) for n, v in shared.items()}
            hook = load_hook(choices.algorithm(name, shipped_params(name) | dict(params)))
            hook.on_start(parameters, Opening(shared, sent, kept))
            optimizer = torch.optim.SGD(parameters.values(), lr=SGD_LR)
            k = order.client
            for _ in range(steps):
                optimizer.zero_grad()
                loss = sum(
                    (CURVATURES[k] * (w - TARGETS[k]) ** 2 / 2).sum() for w in parameters.values()
                )
                loss.backward()  # type: ignore[union-attr]
                hook.on_gradients(parameters)
                optimizer.step()
            closing = hook.on_end(parameters, steps)
            disk[order.client, order.round] = closing.kept
            after = {n: w.detach().numpy().copy() for n, w in parameters.items()}
            return good_reply(
                after, examples[k], extra=closing.extra, steps=steps, kept=int(bool(closing.kept))
            )

        return work

    return make


@pytest.fixture
def as_message() -> Callable[[RecordDict | Error], Message]:
    """Content, or Flower's error, as the reply to a message of a grid."""
    InProcessGrid(ClientApp(), {}, 1)  # messages belong to a run

    def wrap(content: RecordDict | Error) -> Message:
        order = Message(RecordDict({"arrays": pack({"w": np.zeros(1, np.float32)})}), 1, "train")
        order.metadata.__dict__["_message_id"] = "1"
        return Message(content, reply_to=order)

    return wrap
