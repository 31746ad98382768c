"""FedYogi: the paper's rule by hand, with Flower's own class underneath."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from strategies.fedyogi import Params

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
    arrays = federate("fedyogi", train, START, params, rounds).state.arrays
    assert all(values.dtype == np.float32 for values in arrays.values())
    return [
        float(values) for values in (arrays["w"] - START["w"]).tolist() + arrays["v"][0].tolist()
    ]


def test_by_hand(federate: Callable[..., Any], train: Train) -> None:
    """D = (4, -2, 2): m = D/2, then 3/4 D; v = D^2/4, then D^2/2, from 0 and still below D^2."""
    one = [2 / (2 + 2), -1 / (1 + 2), 1 / (1 + 2)]
    two = [3 / (8**0.5 + 2), -1.5 / (2**0.5 + 2), 1.5 / (2**0.5 + 2)]
    np.testing.assert_allclose(moves(federate, train, 1), one, rtol=1e-6)
    np.testing.assert_allclose(moves(federate, train, 2), np.add(one, two), rtol=1e-6)


def test_a_large_tau_is_a_server_step_of_eta_over_tau(
    federate: Callable[..., Any], train: Train
) -> None:
    """beta_1 = 0, eta = tau = 10^6: eta / (sqrt(v) + tau) is 1 to within 10^-5: FedAvg."""
    params = {"eta": 1e6, "tau": 1e6, "beta_1": 0.0, "beta_2": 0.99}
    strategy = federate("fedyogi", train, START, params, 2)
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


def test_v_falls_where_changes_get_small(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    """D = 4, then 1: v = 4, then 4 - 1/4 since it lies above D^2; m = 2, then 1.5."""

    def fading(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + (4 if number == 1 else 1)})

    params = {"eta": 1.0, "tau": 2.0, "beta_1": 0.5, "beta_2": 0.75}
    strategy = federate("fedyogi", fading, {"w": np.zeros(1, np.float32)}, params, 2)
    np.testing.assert_allclose(strategy.state.section("v")["w"], [3.75], rtol=1e-6)
    expected = 2 / (2 + 2) + 1.5 / (3.75**0.5 + 2)
    np.testing.assert_allclose(strategy.state.arrays["w"], [expected], rtol=1e-6)
