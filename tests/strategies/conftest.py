"""A federation in one process whose clients are plain functions, or a few steps of torch's SGD."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pytest
import torch
import yaml
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from client_app.private import PrivateState
from client_app.uplink import Outgoing, shared_of
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.messages import SiteReply, TrainMetrics, TrainReply, TrainRequest
from fedvlm_flwr.messages.wire import pack, unpack
from strategies import load_hook, load_strategy
from strategies.core.client_hook import RoundInput
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy
from strategies.core.loop import RoundLoop
from tests import choices

CONF = Path(__file__).parents[2] / "conf" / "algorithm"

Train = Callable[[int, int, Arrays], RecordDict]
Whole = Callable[[RecordDict], RecordDict]
Site = Callable[[int], SiteReply]


def simulated(partition: int) -> SiteReply:
    """Client k has 1 + 2 k examples, like the clients of most tests."""
    return SiteReply(partition=partition, simulated=True, examples=(1 + 2 * partition,))


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
        **facts: Any,
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
            answer = site(cast(int, context.node_config["partition-id"]))
            return Message(answer.pack(), reply_to=message)

        @app.train()
        def handle(message: Message, context: Context) -> Message:
            if whole:
                return Message(cast(Whole, train)(message.content), reply_to=message)
            request = TrainRequest.unpack(message.content)
            reply = cast(Train, train)(request.client, request.round, unpack(request.arrays))
            return Message(reply, reply_to=message)

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
        numbers = TrainMetrics(num_examples=num_examples, loss=loss, **cast(Any, metrics))
        return TrainReply(arrays, numbers, extra or {}).pack()

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
        **facts: Any,
    ) -> FederatedStrategy:
        facts.setdefault("num_clients", 2)
        ours = ("resume", "full_scores", "callback")
        rest = {key: facts.pop(key) for key in ours if key in facts}
        choice = choices.algorithm(name, shipped_params(name) | dict(params or {}))
        strategy = load_strategy(choice, Federation(**facts))
        nodes = grid or make_grid(cast(Train, train), facts["num_clients"])
        RoundLoop(strategy, nodes, timeout=10, **rest).run(pack(start), rounds)
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
def optimum() -> dict[str, float]:
    """Where the mean of the losses of `sgd_clients` is least, by weighting.

    (1 * 1 + 4 * -1) / (1 + 4), and by examples (1 * 1 * 1 + 3 * 4 * -1) / (1 * 1 + 3 * 4).
    """
    return {"uniform": -0.6, "examples": -11 / 13}


@pytest.fixture
def sgd_clients(good_reply: GoodReply, tmp_path: Path) -> SgdClients:
    """Clients that minimise curvature/2 (w - target)^2 by SGD, with an algorithm's real hook."""

    def make(
        name: str,
        params: Mapping[str, Any],
        steps: int = 10,
        examples: tuple[int, int] = EXAMPLES,
        dtype: str = "float32",
    ) -> Whole:
        def work(content: RecordDict) -> RecordDict:
            request = TrainRequest.unpack(content)
            private = PrivateState(tmp_path, request.run, request.client, request.stage)
            memory = private.load(request.state_round)
            shared, extra = shared_of(request, private)
            parameters = {n: nn.Parameter(torch.from_numpy(v.copy())) for n, v in shared.items()}
            hook = load_hook(choices.algorithm(name, shipped_params(name) | dict(params)))
            hook.on_start(parameters, RoundInput(shared, extra, memory.hook))
            optimizer = torch.optim.SGD(parameters.values(), lr=SGD_LR)
            k = request.client
            for _ in range(steps):
                optimizer.zero_grad()
                loss = sum(
                    (CURVATURES[k] * (w - TARGETS[k]) ** 2 / 2).sum() for w in parameters.values()
                )
                loss.backward()  # type: ignore[union-attr]
                hook.on_gradients(parameters)
                hook.on_clipped(parameters)
                optimizer.step()
            output = hook.on_end(parameters, steps)
            after = {n: w.detach().numpy().copy() for n, w in parameters.items()}
            draw = np.random.default_rng([request.round, k])
            going = Outgoing.of(shared, after, output.extra, memory, dtype, draw)
            state = hook.on_sent(going.as_read, going.extra, output)
            saved = private.save(request.round, replace(going.memory, hook=state))
            return good_reply(
                going.arrays, examples[k], extra=going.extra, steps=steps, saved_state=saved
            )

        return work

    return make


@pytest.fixture
def as_message() -> Callable[[RecordDict | Error], Message]:
    """Content, or Flower's error, as the reply to a message of a grid."""
    InProcessGrid(ClientApp(), {}, 1)  # messages belong to a run

    def wrap(content: RecordDict | Error) -> Message:
        request = Message(RecordDict({"arrays": pack({"w": np.zeros(1, np.float32)})}), 1, "train")
        request.metadata.__dict__["_message_id"] = "1"
        return Message(content, reply_to=request)

    return wrap
