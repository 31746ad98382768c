"""FedYogi: the paper's rule by hand, and from its equations."""

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
    """D = (4, -2, 2): m = D/2, then 3/4 D; v = 8, then 12, from tau^2 = 4 up to D^2; 4 stays."""
    one = [2 / (8**0.5 + 2), -1 / (2 + 2), 1 / (2 + 2)]
    two = [3 / (12**0.5 + 2), -1.5 / (2 + 2), 1.5 / (2 + 2)]
    np.testing.assert_allclose(moves(federate, train, 1), one, rtol=1e-6)
    np.testing.assert_allclose(moves(federate, train, 2), np.add(one, two), rtol=1e-6)


def test_a_large_tau_is_a_server_step_of_eta_over_two_tau(
    federate: Callable[..., Any], train: Train
) -> None:
    """beta_1 = 0, eta = 2 tau = 10^6: v is tau^2 and eta / (sqrt(v) + tau) is 1: FedAvg."""
    params = {"eta": 1e6, "tau": 5e5, "beta_1": 0.0, "beta_2": 0.99}
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
    """D = 4, then 1: v = 8, then 8 - 1/4 since it lies above D^2; m = 2, then 1.5."""

    def fading(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + (4 if number == 1 else 1)})

    params = {"eta": 1.0, "tau": 2.0, "beta_1": 0.5, "beta_2": 0.75}
    strategy = federate("fedyogi", fading, {"w": np.zeros(1, np.float32)}, params, 2)
    np.testing.assert_allclose(strategy.state.section("v")["w"], [7.75], rtol=1e-6)
    expected = 2 / (8**0.5 + 2) + 1.5 / (7.75**0.5 + 2)
    np.testing.assert_allclose(strategy.state.arrays["w"], [expected], rtol=1e-6)


def test_any_changes_by_the_papers_equations(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    """Algorithm 2 in float64, from v = tau^2, on changes above and below it."""
    changes = np.random.default_rng(0).normal(scale=0.1, size=(6, 5))
    eta, tau, b1, b2 = 0.03, 0.05, 0.9, 0.6
    w, m, v = np.zeros(5), np.zeros(5), np.full(5, tau**2)
    for change in changes:
        m = b1 * m + (1 - b1) * change
        v = v - (1 - b2) * change**2 * np.sign(v - change**2)
        w = w + eta * m / (np.sqrt(v) + tau)
    params = {"eta": eta, "tau": tau, "beta_1": b1, "beta_2": b2}

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + changes[number - 1].astype(np.float32)})

    strategy = federate("fedyogi", train, {"w": np.zeros(5, np.float32)}, params, 6)
    np.testing.assert_allclose(strategy.state.arrays["w"], w, rtol=1e-4, atol=1e-6)
