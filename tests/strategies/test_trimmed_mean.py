"""The trimmed mean of the clients' results, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.errors import ConfigError
from strategies.trimmed_mean import Params

ROBUST = True
WITH_THREE_CLIENTS = {"beta": 0.34}

GoodReply = Callable[..., RecordDict]
START = {"w": np.zeros(2, np.float32)}


def sending(good_reply: GoodReply, *results: list[float]) -> Callable[..., RecordDict]:
    """Client k sends the k-th result, with ever more examples."""
    return lambda client, number, shared: good_reply(
        {"w": np.array(results[client], np.float32)}, 10.0**client
    )


RESULTS = [[1, 9], [2, 8], [3, 1], [4, -70], [900, 3]]


def test_by_hand(federate: Callable[..., Any], good_reply: GoodReply) -> None:
    """One of five is cut at each end, of each number by itself; each client counts alike."""
    strategy = federate("trimmed_mean", sending(good_reply, *RESULTS), START, num_clients=5)
    np.testing.assert_allclose(strategy.state.arrays["w"], [3.0, 4.0], rtol=1e-6)


def test_beta_0_is_the_unweighted_mean(federate: Callable[..., Any], good_reply: GoodReply) -> None:
    clients = sending(good_reply, *RESULTS)
    strategy = federate("trimmed_mean", clients, START, {"beta": 0.0}, num_clients=5, min_replies=1)
    np.testing.assert_allclose(strategy.state.arrays["w"], np.mean(RESULTS, axis=0), rtol=1e-6)


def test_a_beta_that_cuts_nothing_is_refused(federate: Callable[..., Any]) -> None:
    """int(0.2 * 4) = 0, and 4 replies may be all that come."""
    with pytest.raises(ConfigError, match=r"algorithm\.beta=0\.2 cuts nothing from 4 replies"):
        federate("trimmed_mean", pytest.fail, START, num_clients=5, min_replies=4)


@pytest.mark.parametrize("beta", [-0.1, 0.5, float("nan")])
def test_refused(beta: float) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.beta="):
        Params(4.0, beta)
