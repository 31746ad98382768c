"""FedAvgM: server momentum by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from strategies.fedavgm import Params

STATEFUL = True
IS_FEDAVG_AT = {"beta": 0.0, "server_lr": 1.0}

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


def test_undamped_by_hand(federate: Callable[..., Any], train: Train) -> None:
    """D = (4, -2) each round; m = D, then 1.5 D, then 1.75 D; w moves by half of m."""
    params = {"beta": 0.5, "server_lr": 0.5, "damped": False}
    for rounds, factor in ((1, 0.5), (2, 1.25), (3, 2.125)):
        strategy = federate("fedavgm", train, START, params, rounds)
        expected = {"w": [1 + 4 * factor, 2 - 2 * factor], "v": [[2 * factor]]}
        for name, values in expected.items():
            np.testing.assert_allclose(strategy.state.arrays[name], values, rtol=1e-6)
            assert strategy.state.arrays[name].dtype == np.float32
    momentum = strategy.state.section("m")
    np.testing.assert_allclose(momentum["w"], [1.75 * 4, -1.75 * 2], rtol=1e-6)
    assert momentum["v"].shape == (1, 1)


def test_without_momentum_it_is_a_server_step_size(
    federate: Callable[..., Any], train: Train
) -> None:
    strategy = federate("fedavgm", train, START, {"beta": 0.0, "server_lr": 0.25}, 2)
    np.testing.assert_allclose(strategy.state.arrays["w"], [3.0, 1.0], rtol=1e-6)
    assert strategy.state.server == {}


def test_damped_by_hand(federate: Callable[..., Any], good_reply: GoodReply) -> None:
    """D = 8, then 2, at beta 0.5: m = 4, then 3; corrected by 1/2, then by 3/4: 8, then 4."""

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + (8 if number == 1 else 2)})

    params = {"beta": 0.5, "server_lr": 0.5, "damped": True}
    strategy = federate("fedavgm", train, {"w": np.zeros(1, np.float32)}, params, 2)
    np.testing.assert_allclose(strategy.state.section("m")["w"], [3.0], rtol=1e-6)
    np.testing.assert_allclose(strategy.state.arrays["w"], [0.5 * 8 + 0.5 * 4], rtol=1e-6)


@pytest.mark.parametrize(("damped", "times"), [(False, 10), (True, 1)])
def test_how_far_a_steady_change_moves(
    federate: Callable[..., Any], train: Train, damped: bool, times: int
) -> None:
    """At beta 0.9: the sum of 0.9^i is 10; damped, each round goes as far as FedAvg."""
    params = {"beta": 0.9, "damped": damped}
    far, near = (federate("fedavgm", train, START, params, n).state.arrays for n in (81, 80))
    np.testing.assert_allclose(far["w"] - near["w"], [4.0 * times, -2.0 * times], rtol=1e-3)


@pytest.mark.parametrize(
    ("key", "value"), [("beta", 1.0), ("beta", -0.1), ("server_lr", 0.0), ("server_lr", np.inf)]
)
def test_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"algorithm\.{key}="):
        Params(**({"beta": 0.9, "server_lr": 1.0, "damped": True} | {key: value}))
