"""A federation in one process whose clients are plain functions."""

from collections.abc import Callable, Mapping
from typing import Protocol, cast

import numpy as np
import pytest
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

from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.wire import Arrays, pack, unpack

Train = Callable[[int, int, Arrays], RecordDict]
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
    ) -> InProcessGrid: ...


class GoodReply(Protocol):
    """The signature of `good_reply`."""

    def __call__(
        self, arrays: Arrays, num_examples: float = 1, loss: float = 0.0
    ) -> RecordDict: ...


@pytest.fixture
def make_grid() -> MakeGrid:
    """Nodes that answer with `train(client, round, shared arrays)` and call themselves `site`."""

    def make(
        train: Train,
        num_nodes: int = 2,
        site: Site = simulated,
        grid_class: type[InProcessGrid] = InProcessGrid,
    ) -> InProcessGrid:
        app = ClientApp()

        @app.query()
        def query(message: Message, context: Context) -> Message:
            facts = site(cast(int, context.node_config["partition-id"]))
            return Message(RecordDict({"site": ConfigRecord(dict(facts))}), reply_to=message)

        @app.train()
        def handle(message: Message, context: Context) -> Message:
            order = cast(ConfigRecord, message.content["config"])
            client, number = cast(int, order["client"]), cast(int, order["round"])
            shared = unpack(cast(ArrayRecord, message.content["arrays"]))
            return Message(train(client, number, shared), reply_to=message)

        return grid_class(app, {}, num_nodes)

    return make


@pytest.fixture
def good_reply() -> GoodReply:
    """What a client that has trained sends."""

    def make(arrays: Arrays, num_examples: float = 1, loss: float = 0.0) -> RecordDict:
        return RecordDict(
            {
                "arrays": pack(arrays),
                "metrics": MetricRecord({"num_examples": num_examples, "loss": loss}),
                "source": ConfigRecord({"host": "here", "pid": "1"}),
            }
        )

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
