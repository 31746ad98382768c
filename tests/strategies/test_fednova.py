"""FedNova: normalised averaging by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import MetricRecord, RecordDict

from fedvlm_flwr.arrays import Arrays

GoodReply = Callable[..., RecordDict]
START = {"w": np.array([10.0], np.float32)}


def test_by_hand(federate: Callable[..., Any], good_reply: GoodReply) -> None:
    """1 example, 4 in 2 steps; 3 examples, 4 in 4 steps; FedAvg would move by 4."""

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + 4}, 1 + 2 * client, steps=2 + 2 * client)

    # tau_eff = (1 * 2 + 3 * 4) / 4 = 3.5; sum p d / tau = (1 * 2 + 3 * 1) / 4 = 1.25
    strategy = federate("fednova", train, START, rounds=2)
    np.testing.assert_allclose(strategy.state.arrays["w"], 10 + 2 * 3.5 * 1.25, rtol=1e-6)
    assert strategy.state.server == {}


@pytest.mark.parametrize("steps", [1, 7, 10_000])
def test_equal_steps_are_fedavg(
    federate: Callable[..., Any], good_reply: GoodReply, steps: int
) -> None:
    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        step = np.random.default_rng([client, number]).normal(size=5).astype(np.float32)
        return good_reply({"w": shared["w"] + step}, client + 1, steps=steps)

    start = {"w": np.ones(5, np.float32)}
    nova, average = (
        federate(name, train, start, rounds=3, num_clients=4) for name in ("fednova", "fedavg")
    )
    np.testing.assert_allclose(
        nova.state.arrays["w"], average.state.arrays["w"], rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("steps", [None, 0, -3, 0.5, np.nan, np.inf, 1e300])
def test_steps_that_cannot_be_used(
    federate: Callable[..., Any], good_reply: GoodReply, steps: float | None
) -> None:
    """The reply is left out before it has touched a sum."""

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        reply = good_reply({"w": shared["w"] + 100 * client + 1}, 1, steps=4)
        if client == 0:
            return reply
        metrics = {"num_examples": 1} | ({} if steps is None else {"steps": steps})
        reply["metrics"] = MetricRecord(metrics)
        return reply

    strategy = federate("fednova", train, START, min_replies=1)
    np.testing.assert_array_equal(strategy.state.arrays["w"], [11.0])
