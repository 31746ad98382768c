"""FedDyn: both sides by hand, and at work."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import RecordDict
from torch import nn

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from strategies.core.client_hook import RoundInput, RoundOutput
from strategies.feddyn import DynamicRegularizer, Params

STATEFUL = True
IS_FEDAVG_AT = {"alpha": 0.0}

GoodReply = Callable[..., RecordDict]
ZERO = {"w": np.zeros(1, np.float32)}


@pytest.fixture
def train(good_reply: GoodReply) -> Callable[[int, int, Arrays], RecordDict]:
    """Even clients move by 2 (1 example), odd ones by 4 (3 examples)."""
    return lambda client, number, shared: good_reply(
        {"w": shared["w"] + (4 if client % 2 else 2)}, 3 if client % 2 else 1
    )


def test_server_by_hand(federate: Callable[..., Any], train: object) -> None:
    one = federate("feddyn", train, ZERO, {"alpha": 0.5})
    # h = -0.5 * (2 + 4) / 2 = -1.5; w = 3 + 1.5 / 0.5, with 3 the unweighted mean
    np.testing.assert_array_equal(one.state.section("h")["w"], [-1.5])
    np.testing.assert_array_equal(one.state.arrays["w"], [6.0])
    two = federate("feddyn", train, ZERO, {"alpha": 0.5}, rounds=2)
    # h = -1.5 - 1.5; w = (8 + 10) / 2 + 3 / 0.5
    np.testing.assert_array_equal(two.state.section("h")["w"], [-3.0])
    np.testing.assert_array_equal(two.state.arrays["w"], [15.0])


def test_all_clients_count_where_some_take_part(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    strategy = federate(
        "feddyn",
        lambda client, number, shared: good_reply({"w": shared["w"] + 3}),
        ZERO,
        {"alpha": 0.5},
        num_clients=4,
        clients_per_round=2,
    )
    # h = -0.5 * (3 + 3) / 4 = -0.75; w = 3 + 0.75 / 0.5
    np.testing.assert_array_equal(strategy.state.section("h")["w"], [-0.75])
    np.testing.assert_array_equal(strategy.state.arrays["w"], [4.5])


def test_alpha_0_is_weighted_and_keeps_nothing(federate: Callable[..., Any], train: object) -> None:
    strategy = federate("feddyn", train, ZERO, {"alpha": 0.0})
    np.testing.assert_array_equal(strategy.state.arrays["w"], [3.5])  # (1 * 2 + 3 * 4) / 4
    assert strategy.state.server == {}


def run_hook(alpha: float, kept: Arrays) -> tuple[list[float], list[float], RoundOutput]:
    """Gradients of a shared and a private tensor, from w_t = 2 to w = 6, and what is left."""
    parameters = {n: nn.Parameter(torch.tensor([2.0])) for n in ("w", "private")}
    hook = DynamicRegularizer(Params(alpha))
    hook.on_start(parameters, RoundInput({"w": np.array([2.0], np.float32)}, {}, kept))
    for parameter in parameters.values():
        parameter.data.fill_(6.0)
        parameter.grad = torch.tensor([10.0])
    hook.on_gradients(parameters)
    shared, private = (p.grad.tolist() for p in parameters.values())  # type: ignore[union-attr]
    return shared, private, hook.on_end(parameters, 1)


def test_client_by_hand() -> None:
    shared, private, closing = run_hook(0.5, {"w": np.array([1.0], np.float32)})
    assert shared == [11.0]  # 10 - 1 + 0.5 * (6 - 2)
    assert private == [10.0]
    assert closing.extra == {}
    assert {name: values.tolist() for name, values in closing.state.items()} == {"w": [-1.0]}
    shared, _, closing = run_hook(0.5, {})
    assert shared == [12.0]
    assert closing.state["w"].tolist() == [-2.0]


def test_client_at_alpha_0() -> None:
    shared, _, closing = run_hook(0.0, {})
    assert shared == [10.0]
    assert closing == RoundOutput()


def test_takes_the_drift_out(
    federate: Callable[..., Any], sgd_clients: Callable[..., Any], optimum: float
) -> None:
    """Unlike clients, 50 local steps: FedAvg stops elsewhere, FedDyn in the joint optimum."""

    def final(name: str, params: dict[str, float]) -> float:
        clients = sgd_clients(name, params, steps=50, examples=(1, 1))
        return float(federate(name, clients, ZERO, params, rounds=60).state.arrays["w"][0])

    assert abs(final("fedavg", {}) - optimum) > 0.1
    assert final("feddyn", {"alpha": 1.0}) == pytest.approx(optimum, abs=1e-3)


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.alpha="):
        Params(alpha)
