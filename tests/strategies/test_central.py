"""The pooled baseline: one client with everyone's examples."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import RecordDict

from fedvlm_flwr.wire import unpack
from strategies.core.cohort import choose_cohort
from strategies.core.order import Order

GoodReply = Callable[..., RecordDict]
START = {"w": np.zeros(1, np.float32)}


def test_client_0_trains_on_the_cohorts_examples(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    orders: list[Order] = []

    def train(content: RecordDict) -> RecordDict:
        orders.append(Order.read(content["config"]))
        return good_reply({"w": unpack(content["arrays"])["w"] + 1}, 7)

    strategy = federate("central", train, START, rounds=2, num_clients=3)
    assert [(order.client, order.round, order.data) for order in orders] == [
        (0, 1, (0, 1, 2)),
        (0, 2, (0, 1, 2)),
    ]
    np.testing.assert_array_equal(strategy.state.arrays["w"], [2.0])
    orders.clear()
    federate("central", train, START, rounds=4, num_clients=6, cohort_size=2)
    cohorts = [tuple(choose_cohort(6, 2, 0, 0, number)) for number in range(1, 5)]
    assert [(order.client, order.data) for order in orders] == [(0, data) for data in cohorts]


def test_equals_one_client_that_has_all_examples(
    federate: Callable[..., Any], sgd_clients: Callable[..., Any]
) -> None:
    """On one client it is the same training as FedAvg's."""
    pair = [
        federate(name, sgd_clients(name, {}), START, rounds=3, num_clients=1)
        for name in ("central", "fedavg")
    ]
    np.testing.assert_array_equal(*(strategy.state.arrays["w"] for strategy in pair))
