"""Krum: the reply nearest to the others, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError, RunError
from strategies.krum import Params

ROBUST = True
ONE_CLIENTS_RESULT = True
WITH_THREE_CLIENTS = {"num_malicious": 0}

GoodReply = Callable[..., RecordDict]
START = {"w": np.zeros(2, np.float32)}


def sending(good_reply: GoodReply, *results: list[float]) -> Callable[..., RecordDict]:
    """Client k sends the k-th result, with ever more examples."""
    return lambda client, number, shared: good_reply(
        {"w": np.array(results[client], np.float32)}, 10.0**client
    )


def test_by_hand(federate: Callable[..., Any], good_reply: GoodReply) -> None:
    """n = 5, f = 1: squared distances to the two nearest: 5, 2, 5 and more for the others."""
    clients = sending(good_reply, [1, 0], [2, 0], [3, 0], [9, 9], [-50, 4])
    strategy = federate("krum", clients, START, num_clients=5)
    np.testing.assert_array_equal(strategy.state.arrays["w"], [2.0, 0.0])


def test_small_changes_of_large_weights(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    """Weights of 1000 that move by some 0.01: their squares leave no room for that in float32."""
    start = {"w": np.full(4000, 1000.0, np.float32)}
    steps = [0.030, 0.031, 0.033, 0.037, 0.045]

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + np.float32(steps[client])})

    # to the two nearest: (1 + 9, 1 + 4, 4 + 9, ...): the second
    strategy = federate("krum", train, start, num_clients=5)
    np.testing.assert_allclose(strategy.state.arrays["w"] - 1000, 0.031, atol=1e-4)


def test_result_does_not_depend_on_who_comes_first(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    """Clients 0 and 1 tie (4 + 4 to their two nearest): 0 is taken, also where it answers last."""
    asked: list[int] = []
    results = [1, -1, 3, -3, 100]

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        asked.append(client)
        if client == 0 and asked.count(0) == 1:
            raise OSError("later")
        return good_reply({"w": np.array([results[client], 0], np.float32)})

    strategy = federate("krum", train, START, num_clients=5)
    assert asked == [0, 1, 2, 3, 4, 0]
    np.testing.assert_array_equal(strategy.state.arrays["w"], [1.0, 0.0])


@pytest.mark.parametrize(("cohort", "needed"), [(4, 4), (5, 4), (4, 5)])
def test_too_few_replies_are_refused_before_the_run(
    federate: Callable[..., Any], cohort: int, needed: int
) -> None:
    with pytest.raises(ConfigError, match=r"num_malicious=1 needs 5 good replies"):
        facts = {"clients_per_round": cohort, "min_replies": needed}
        federate("krum", pytest.fail, START, num_clients=9, **facts)


def test_too_few_good_replies_in_a_round(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    clients = sending(good_reply, *[[1, 0]] * 5, [np.nan, 0])
    federate("krum", clients, START, num_clients=6, min_replies=5)
    with pytest.raises(RunError, match=r"got 5 good replies and needs 6"):
        federate("krum", clients, START, num_clients=6)


@pytest.mark.parametrize("hostile", [-1])
def test_refused(hostile: int) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.num_malicious=-1"):
        Params(4.0, hostile)
