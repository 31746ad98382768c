"""The median of the clients' results, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from strategies.fedmedian import Params

ROBUST = True

GoodReply = Callable[..., RecordDict]
START = {"w": np.zeros(2, np.float32)}


def sending(good_reply: GoodReply, *results: list[float]) -> Callable[..., RecordDict]:
    """Client k sends the k-th result, with ever more examples."""
    return lambda client, number, shared: good_reply(
        {"w": np.array(results[client], np.float32)}, 10.0**client
    )


def test_by_hand(federate: Callable[..., Any], good_reply: GoodReply) -> None:
    """Each number by itself, each client alike."""
    odd = sending(good_reply, [1, 9], [2, 8], [100, -7])
    assert federate("fedmedian", odd, START, num_clients=3).state.arrays["w"].tolist() == [2, 8]
    even = sending(good_reply, [1, 9], [2, 8], [4, 6], [100, -7])
    assert federate("fedmedian", even, START, num_clients=4).state.arrays["w"].tolist() == [3, 7]


def test_replies_that_would_not_fit_are_refused_before_the_run(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    """Five replies of 1000 numbers are 20 kB, whatever the number of clients."""

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply(shared)

    facts: dict[str, Any] = {"num_clients": 9, "clients_per_round": 5}
    start = {"w": np.zeros(1000, np.float32)}
    federate("fedmedian", train, start, {"max_gigabytes": 20.1e-6}, **facts)
    never = pytest.fail
    with pytest.raises(
        ConfigError, match=r"fedmedian keeps all 5 .*2e-05 GB.*max_gigabytes=1.9e-05"
    ):
        federate("fedmedian", never, start, {"max_gigabytes": 19e-6}, **facts)


def test_nothing_is_kept_between_rounds(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    """A client that answers in round 1 only does not count in round 2."""

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        if number == 2 and client == 2:
            raise OSError("gone")
        return good_reply({"w": shared["w"] + [1, 2, 9][client]})

    strategy = federate("fedmedian", train, START, rounds=2, num_clients=3, min_replies=2)
    assert strategy.state.arrays["w"].tolist() == [3.5, 3.5]
    assert strategy.state.server == {}


@pytest.mark.parametrize("most", [0.0, -1.0, float("nan")])
def test_refused(most: float) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.max_gigabytes="):
        Params(most)
