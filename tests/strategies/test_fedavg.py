"""Federated averaging by hand; the loop that it runs in has its own tests."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays

IS_FEDAVG_AT: dict[str, float] = {}

GoodReply = Callable[..., RecordDict]
START = {"w": np.array([0.0, 2.0], np.float32)}


def test_by_hand(federate: Callable[..., Any], good_reply: GoodReply) -> None:
    results = {0: [1.0, 4.0], 1: [5.0, 0.0]}

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": np.array(results[client], np.float32)}, 1 + 2 * client)

    strategy = federate("fedavg", train, START)
    # (1 * 1 + 3 * 5) / 4 = 4 and (1 * 4 + 3 * 0) / 4 = 1
    np.testing.assert_array_equal(strategy.state.arrays["w"], [4.0, 1.0])
    assert strategy.state.server == {}


def test_one_client_is_plain_training(
    federate: Callable[..., Any], sgd_clients: Callable[..., Any]
) -> None:
    """w - 1 shrinks by 1 - 0.1 in every step, and 3 rounds of 10 steps are 30 steps."""
    strategy = federate(
        "fedavg", sgd_clients("fedavg", {}), {"w": np.zeros(1, np.float32)}, rounds=3, num_clients=1
    )
    np.testing.assert_allclose(strategy.state.arrays["w"], 1 - 0.9**30, rtol=1e-6)
