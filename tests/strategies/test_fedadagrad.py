"""FedAdagrad: the paper's rule by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from strategies.fedadagrad import Params

STATEFUL = True

GoodReply = Callable[..., RecordDict]
Train = Callable[[int, int, Arrays], RecordDict]
START = {"v": np.zeros((1, 1), np.float32), "w": np.array([1.0, 2.0], np.float32)}


@pytest.fixture
def train(good_reply: GoodReply) -> Train:
    """Moves by (1, 1) with 1 example and by (5, -3) with 3, weighted (4, -2); v by 2; always.

    The reply names its tensors in another order than the server does.
    """

    def make(client: int, number: int, shared: Arrays) -> RecordDict:
        step = np.array([[1.0, 1.0], [5.0, -3.0]][client], np.float32)
        return good_reply({"w": shared["w"] + step, "v": shared["v"] + 2}, 1 + 2 * client)

    return make


def moves(federate: Callable[..., Any], train: Train, rounds: int) -> list[float]:
    params = {"eta": 0.5, "tau": 1.0}
    arrays = federate("fedadagrad", train, START, params, rounds).state.arrays
    assert all(values.dtype == np.float32 for values in arrays.values())
    return [
        float(values) for values in (arrays["w"] - START["w"]).tolist() + arrays["v"][0].tolist()
    ]


def test_by_hand(federate: Callable[..., Any], train: Train) -> None:
    """D = (4, -2, 2) each round; v = 1 + D^2, then 1 + 2 D^2, from tau^2; weighted by examples."""
    one = [0.5 * 4 / (17**0.5 + 1), 0.5 * -2 / (5**0.5 + 1), 0.5 * 2 / (5**0.5 + 1)]
    two = [0.5 * 4 / (33**0.5 + 1), 0.5 * -2 / (9**0.5 + 1), 0.5 * 2 / (9**0.5 + 1)]
    np.testing.assert_allclose(moves(federate, train, 1), one, rtol=1e-6)
    np.testing.assert_allclose(moves(federate, train, 2), np.add(one, two), rtol=1e-6)


def test_a_large_tau_is_a_server_step_of_eta_over_two_tau(
    federate: Callable[..., Any], train: Train
) -> None:
    """eta = 2 tau = 10^6, v = tau^2 to within 10^-10: eta / (sqrt(v) + tau) is 1: FedAvg."""
    params = {"eta": 1e6, "tau": 5e5}
    strategy = federate("fedadagrad", train, START, params, 2)
    average = federate("fedavg", train, START, rounds=2)
    for name, values in average.state.arrays.items():
        np.testing.assert_allclose(strategy.state.arrays[name], values, rtol=1e-4)


@pytest.mark.parametrize(
    ("key", "value"), [("eta", 0.0), ("eta", -1.0), ("eta", np.nan), ("tau", 0.0), ("tau", np.inf)]
)
def test_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"algorithm\.{key}="):
        Params(**({"eta": 0.1, "tau": 0.1} | {key: value}))
