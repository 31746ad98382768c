"""The pooled baseline: one client with everyone's examples."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import RecordDict

from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import unpack
from strategies.core.cohort import choose_cohort

ONE_CLIENTS_RESULT = True
SHARES_ALL = True

GoodReply = Callable[..., RecordDict]
START = {"w": np.zeros(1, np.float32)}


def test_client_0_trains_on_the_cohorts_examples(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    requests: list[TrainRequest] = []

    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        requests.append(request)
        return good_reply({"w": unpack(request.arrays)["w"] + 1}, 7)

    strategy = federate("central", train, START, rounds=2, num_clients=3)
    assert [(request.client, request.round, request.data) for request in requests] == [
        (0, 1, (0, 1, 2)),
        (0, 2, (0, 1, 2)),
    ]
    np.testing.assert_array_equal(strategy.state.arrays["w"], [2.0])
    requests.clear()
    federate("central", train, START, rounds=4, num_clients=6, clients_per_round=2)
    cohorts = [tuple(choose_cohort(range(6), 2, 0, 0, number)) for number in range(1, 5)]
    drawn = [(request.client, request.data) for request in requests]
    assert drawn == [(0, data) for data in cohorts]


def test_equals_one_client_that_has_all_examples(
    federate: Callable[..., Any], sgd_clients: Callable[..., Any]
) -> None:
    """On one client it is the same training as FedAvg's."""
    pair = [
        federate(name, sgd_clients(name, {}), START, rounds=3, num_clients=1)
        for name in ("central", "fedavg")
    ]
    np.testing.assert_array_equal(*(strategy.state.arrays["w"] for strategy in pair))
