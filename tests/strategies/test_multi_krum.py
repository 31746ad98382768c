"""Multi-Krum: the mean of the replies nearest to the others, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from strategies.multi_krum import Params

ROBUST = True
WITH_THREE_CLIENTS = {"num_malicious": 0, "num_selected": 1}

GoodReply = Callable[..., RecordDict]
START = {"w": np.zeros(2, np.float32)}
# n = 6, f = 1: squared distances to the three nearest add up to 14, 6, 6, 14 and more.
RESULTS = ([1, 0], [2, 0], [3, 0], [4, 0], [9, 9], [-50, 4])


@pytest.fixture
def clients(good_reply: GoodReply) -> Callable[[int, int, Arrays], RecordDict]:
    """Client k sends the k-th result, with ever more examples."""
    return lambda client, number, shared: good_reply(
        {"w": np.array(RESULTS[client], np.float32)}, 10.0**client
    )


@pytest.mark.parametrize(
    ("number", "mean"), [(1, [2.0, 0.0]), (2, [2.5, 0.0]), (3, [2.0, 0.0])], ids=str
)
def test_by_hand(
    federate: Callable[..., Any], clients: object, number: int, mean: list[float]
) -> None:
    """The best are [2, 0] and [3, 0], then [1, 0]; ties go to the lower number."""
    strategy = federate("multi_krum", clients, START, {"num_selected": number}, num_clients=6)
    np.testing.assert_allclose(strategy.state.arrays["w"], mean, rtol=1e-6)


def test_with_one_it_is_krum(federate: Callable[..., Any], clients: object) -> None:
    one = federate("multi_krum", clients, START, {"num_selected": 1}, num_clients=6)
    krum = federate("krum", clients, START, num_clients=6)
    np.testing.assert_array_equal(one.state.arrays["w"], krum.state.arrays["w"])


def test_more_than_can_be_trusted_are_refused(federate: Callable[..., Any]) -> None:
    facts = {"num_clients": 9, "clients_per_round": 8, "min_replies": 6}
    with pytest.raises(ConfigError, match=r"num_selected=4 is more than 3, .*num_malicious=1"):
        federate("multi_krum", pytest.fail, START, {"num_selected": 4}, **facts)


def test_too_few_replies_are_refused_by_its_own_name(federate: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"needs 5 good replies in a round of multi_krum"):
        federate("multi_krum", pytest.fail, START, num_clients=4)


@pytest.mark.parametrize("number", [0, -1])
def test_refused(number: int) -> None:
    with pytest.raises(ConfigError, match=rf"algorithm\.num_selected={number}"):
        Params(4.0, 1, number)
