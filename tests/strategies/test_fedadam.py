"""FedAdam: the paper's rule by hand, without Flower's bias correction."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from strategies.fedadam import Params

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
    params = {"eta": 1.0, "tau": 2.0, "beta_1": 0.5, "beta_2": 0.75}
    arrays = federate("fedadam", train, START, params, rounds).state.arrays
    assert all(values.dtype == np.float32 for values in arrays.values())
    return [
        float(values) for values in (arrays["w"] - START["w"]).tolist() + arrays["v"][0].tolist()
    ]


def test_by_hand(federate: Callable[..., Any], train: Train) -> None:
    """D = (4, -2, 2): m = D/2, then 3/4 D; v from tau^2 = 4: 3 + D^2/4, then 3/4 of it + D^2/4."""
    one = [2 / (7**0.5 + 2), -1 / (4**0.5 + 2), 1 / (4**0.5 + 2)]
    two = [3 / (9.25**0.5 + 2), -1.5 / (4**0.5 + 2), 1.5 / (4**0.5 + 2)]
    np.testing.assert_allclose(moves(federate, train, 1), one, rtol=1e-6)
    np.testing.assert_allclose(moves(federate, train, 2), np.add(one, two), rtol=1e-6)


def test_a_large_tau_is_a_server_step_of_eta_over_tau(
    federate: Callable[..., Any], train: Train
) -> None:
    """beta_1 = beta_2 = 0 (v forgets tau^2), eta = tau = 10^6: FedAvg's step to within 10^-5."""
    params = {"eta": 1e6, "tau": 1e6, "beta_1": 0.0, "beta_2": 0.0}
    strategy = federate("fedadam", train, START, params, 2)
    average = federate("fedavg", train, START, rounds=2)
    for name, values in average.state.arrays.items():
        np.testing.assert_allclose(strategy.state.arrays[name], values, rtol=1e-4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eta", 0.0),
        ("eta", -1.0),
        ("eta", np.nan),
        ("tau", 0.0),
        ("tau", np.inf),
        ("beta_1", 1.0),
        ("beta_1", -0.1),
        ("beta_2", 1.0),
        ("beta_2", np.nan),
    ],
)
def test_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"algorithm\.{key}="):
        Params(**({"eta": 0.1, "tau": 0.1, "beta_1": 0.9, "beta_2": 0.99} | {key: value}))
