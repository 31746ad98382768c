"""FedDyn: both sides by hand, and at work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import RecordDict
from torch import nn

from client_app.private import PrivateState
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from strategies.core.client_hook import RoundInput, RoundOutput
from strategies.core.cohort import choose_cohort
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


@pytest.mark.parametrize(("weighting", "change"), [("uniform", 3.0), ("examples", 3.5)])
def test_server_by_hand(
    federate: Callable[..., Any], train: object, weighting: str, change: float
) -> None:
    """The mean change is (2 + 4) / 2, or (1 * 2 + 3 * 4) / 4; alpha is 1/2.

    h = -D/2, w = D + D; then h = -D, w = 2 D + D + 2 D. The clients' means are D, then 3 D.
    """
    one, two = (
        federate("feddyn", train, ZERO, {"alpha": 0.5}, n, weighting=weighting) for n in (1, 2)
    )
    np.testing.assert_array_equal(one.state.section("h")["w"], [-change / 2])
    np.testing.assert_array_equal(one.state.arrays["w"], [2 * change])
    np.testing.assert_array_equal(one.served()["w"], [change])
    np.testing.assert_array_equal(two.state.section("h")["w"], [-change])
    np.testing.assert_array_equal(two.state.arrays["w"], [5 * change])
    np.testing.assert_array_equal(two.served()["w"], [3 * change])


def test_what_is_served_is_in_the_state(federate: Callable[..., Any], train: object) -> None:
    """Before the first round it is what there is, and a resumed run has it again."""
    strategy = federate("feddyn", train, ZERO, rounds=0)
    np.testing.assert_array_equal(strategy.served()["w"], ZERO["w"])
    one = federate("feddyn", train, ZERO)
    again = federate("feddyn", train, ZERO, resume=one.state)
    assert again.served()["w"] == one.served()["w"] == 3.5 != one.state.arrays["w"]
    plain = federate("feddyn", train, ZERO, {"alpha": 0.0})
    assert plain.served() == plain.state.arrays


@pytest.mark.parametrize(("weighting", "part"), [("uniform", 2 / 4), ("examples", 6 / 16)])
def test_all_clients_count_where_some_take_part(
    federate: Callable[..., Any], good_reply: GoodReply, weighting: str, part: float
) -> None:
    """Clients 0 and 2, with 1 and 5 of 16 examples."""
    assert choose_cohort(range(4), 2, 0, 0, 1) == [0, 2]
    strategy = federate(
        "feddyn",
        lambda client, number, shared: good_reply({"w": shared["w"] + 3}),
        ZERO,
        {"alpha": 0.5},
        num_clients=4,
        clients_per_round=2,
        weighting=weighting,
    )
    # h = -0.5 * 3 * part; w = 3 - h / 0.5
    np.testing.assert_array_equal(strategy.state.section("h")["w"], [-1.5 * part])
    np.testing.assert_array_equal(strategy.state.arrays["w"], [3 + 3 * part])


def test_alpha_0_is_weighted_and_keeps_nothing(federate: Callable[..., Any], train: object) -> None:
    strategy = federate("feddyn", train, ZERO, {"alpha": 0.0})
    np.testing.assert_array_equal(strategy.state.arrays["w"], [3.5])  # (1 * 2 + 3 * 4) / 4
    assert strategy.state.server == {}


def run_hook(alpha: float, kept: Arrays) -> tuple[list[float], list[float], Arrays]:
    """Gradients of a shared and a private tensor, from w_t = 2 to w = 6, and what is left.

    They are those of after clipping: before it the hook leaves them alone.
    """
    parameters = {n: nn.Parameter(torch.tensor([2.0])) for n in ("w", "private")}
    hook = DynamicRegularizer(Params(alpha))
    hook.on_start(parameters, RoundInput({"w": np.array([2.0], np.float32)}, {}, kept))
    for parameter in parameters.values():
        parameter.data.fill_(6.0)
        parameter.grad = torch.tensor([10.0])
    hook.on_gradients(parameters)
    assert all(p.grad == 10 for p in parameters.values())
    hook.on_clipped(parameters)
    shared, private = (p.grad.tolist() for p in parameters.values())  # type: ignore[union-attr]
    output = hook.on_end(parameters, 1)
    assert output == RoundOutput()
    return shared, private, hook.on_sent({"w": np.array([6.0], np.float32)}, {}, output)


def test_client_by_hand() -> None:
    shared, private, state = run_hook(0.5, {"w": np.array([1.0], np.float32)})
    assert shared == [11.0]  # 10 - 1 + 0.5 * (6 - 2)
    assert private == [10.0]
    assert {name: values.tolist() for name, values in state.items()} == {"w": [-1.0]}
    shared, _, state = run_hook(0.5, {})
    assert shared == [12.0]
    assert state["w"].tolist() == [-2.0]


def test_client_at_alpha_0() -> None:
    shared, _, state = run_hook(0.0, {})
    assert shared == [10.0]
    assert state == {}


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_short_numbers_on_the_wire_leave_h_the_mean_of_the_clients_own(
    federate: Callable[..., Any], sgd_clients: Callable[..., Any], tmp_path: Path, dtype: str
) -> None:
    clients = sgd_clients("feddyn", {"alpha": 1.0}, dtype=dtype)
    facts = {"num_clients": 2, "weighting": "uniform", "wire_dtype": dtype}
    strategy = federate("feddyn", clients, ZERO, {"alpha": 1.0}, 40, **facts)
    own = []
    for client in (0, 1):
        private = PrivateState(tmp_path, strategy.federation.run, client, 0)
        own.append(private.load(40).hook["w"])
    assert abs(np.diff(own, axis=0)).max() > 1  # they are no zeros
    np.testing.assert_allclose(strategy.state.section("h")["w"], np.mean(own, 0), atol=1e-5)
    np.testing.assert_allclose(strategy.state.section("mean")["w"], -0.6, atol=1e-3)


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_takes_the_drift_out(
    federate: Callable[..., Any],
    sgd_clients: Callable[..., Any],
    optimum: dict[str, float],
    weighting: str,
) -> None:
    """Unlike clients with 1 and 3 examples, 40 local steps: FedAvg stops elsewhere, FedDyn not.

    It goes to where the mean of their losses is least that the weighting says.
    """

    def final(name: str, params: dict[str, float]) -> float:
        clients = sgd_clients(name, params, steps=40)
        strategy = federate(name, clients, ZERO, params, rounds=30, weighting=weighting)
        assert strategy.served()["w"] == pytest.approx(strategy.state.arrays["w"], abs=1e-3)
        return float(strategy.served()["w"][0])

    assert abs(final("fedavg", {}) - optimum[weighting]) > 0.1
    assert final("feddyn", {"alpha": 1.0}) == pytest.approx(optimum[weighting], abs=1e-3)


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.alpha="):
        Params(alpha)
