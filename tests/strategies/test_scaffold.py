"""SCAFFOLD: control variates by hand, against the paper's option II, and at work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from flwr.app import MetricRecord, RecordDict
from torch import nn

from client_app.private import PrivateState
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import unpack
from strategies.core.client_hook import RoundInput
from strategies.core.cohort import choose_cohort
from strategies.scaffold import ControlVariate, Params

STATEFUL = True
IS_FEDAVG_AT = {"correction": 0.0, "server_lr": 1.0}

GoodReply = Callable[..., RecordDict]
ZERO = {"w": np.zeros(1, np.float32)}


def numbers(*values: float) -> Arrays:
    return {"w": np.array(values, np.float32)}


@pytest.mark.parametrize(
    ("weighting", "c", "moves"),
    [
        # c: (2 + 6) / 4 a round, though only two clients took part; w: half of (1 + 5) / 2
        ("uniform", (2.0, 4.0), (1.5, 3.0)),
        # of 1, 3, 5 and 7 examples: clients 0 and 2, then 0 and 1: (1 * 2 + 5 * 6) / 16 = 2, and
        # (1 * 2 + 3 * 6) / 16 = 1.25; w: half of (1 * 1 + 5 * 5) / 6, and of (1 * 1 + 3 * 5) / 4
        ("examples", (2.0, 3.25), (26 / 12, 26 / 12 + 2)),
    ],
)
def test_server_by_hand_under_partial_participation(
    federate: Callable[..., Any],
    good_reply: GoodReply,
    weighting: str,
    c: tuple[float, float],
    moves: tuple[float, float],
) -> None:
    """Two of four clients a round; their changes of c_k are 2 and 6, whoever they are.

    The lower one moves by 1, the other by 5; eta_g is 0.5.
    """
    assert [choose_cohort(range(4), 2, 0, 0, n) for n in (1, 2)] == [[0, 2], [0, 1]]
    told: list[tuple[int, float]] = []

    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        told.append((request.round, float(unpack(request.extra)["w"][0])))
        upper = request.client == max(choose_cohort(range(4), 2, 0, 0, request.round))
        w = unpack(request.arrays)["w"]
        return good_reply(
            {"w": w + (5 if upper else 1)}, 3 if upper else 1, extra=numbers(6 if upper else 2)
        )

    facts = {"num_clients": 4, "clients_per_round": 2, "weighting": weighting}
    strategy = federate("scaffold", train, ZERO, {"server_lr": 0.5}, 2, **facts)
    assert told == [(1, 0.0), (1, 0.0), (2, c[0]), (2, c[0])]
    assert strategy.state.server.keys() == {"c/w"}
    np.testing.assert_allclose(strategy.state.section("c")["w"], [c[1]], rtol=1e-6)
    np.testing.assert_allclose(strategy.state.arrays["w"], [moves[1]], rtol=1e-6)


def run_hook(
    correction: float, steps: int = 3, c: float = 0.5, own: float = -0.25
) -> tuple[float, float, float]:
    """y, c_k' and its change after SGD steps at 0.1 on 2 (w - 1)^2 from x = 3."""
    w = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    hook = ControlVariate(Params(1.0, correction))
    hook.on_start({"w": w}, RoundInput(numbers(3.0), numbers(c), numbers(own) if own else {}))
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        (2 * (w - 1) ** 2).sum().backward()
        hook.on_gradients({"w": w})
        optimizer.step()
    closing = hook.on_end({"w": w}, steps)
    kept = hook.on_sent({}, closing.extra, closing)
    assert kept["w"].dtype == closing.extra["w"].dtype == np.float32
    return w.item(), kept["w"].item(), closing.extra["w"].item()


def test_client_by_hand() -> None:
    """Gradient 4 (w - 1), correction 0.5 + 0.25: 3 -> 2.125 -> 1.6, gradients 8 and 4.5."""
    y, kept, change = run_hook(1.0, steps=2)
    assert y == pytest.approx(1.6)
    assert kept == pytest.approx((8 + 4.5) / 2)
    assert change == pytest.approx(6.25 + 0.25)


@pytest.mark.parametrize("steps", [1, 3, 7])
@pytest.mark.parametrize("own", [-0.25, 0.0, 2.0])
def test_is_option_two_of_the_paper_under_sgd(steps: int, own: float) -> None:
    y, kept, change = run_hook(1.0, steps, own=own)
    option_two = own - 0.5 + (3.0 - y) / (steps * 0.1)
    assert kept == pytest.approx(option_two, rel=1e-6)
    assert change == pytest.approx(option_two - own, rel=1e-6)


def test_correction_0_is_plain_sgd() -> None:
    assert run_hook(0.0)[0] == pytest.approx(1 + 2 * 0.6**3)


def test_private_tensors_are_left_alone() -> None:
    shared, private = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    parameters = {"w": shared, "private": private}
    hook = ControlVariate(Params(1.0, 1.0))
    hook.on_start(parameters, RoundInput(numbers(0.0), numbers(1.0)))
    for parameter in parameters.values():
        parameter.grad = torch.ones(1)
    hook.on_gradients(parameters)
    assert (shared.grad.item(), private.grad.item()) == (2.0, 1.0)  # type: ignore[union-attr]
    assert hook.on_end(parameters, 1).extra.keys() == {"w"}


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_takes_the_drift_out(
    federate: Callable[..., Any],
    sgd_clients: Callable[..., Any],
    optimum: dict[str, float],
    weighting: str,
) -> None:
    """Unlike clients with 1 and 3 examples, 10 local steps: FedAvg stops elsewhere, SCAFFOLD not.

    It goes to where the mean of their losses is least that the weighting says.
    """
    facts = {"num_clients": 2, "rounds": 40, "weighting": weighting}

    def final(name: str) -> float:
        state = federate(name, sgd_clients(name, {}), ZERO, **facts).state
        return float(state.arrays["w"][0])

    assert abs(final("fedavg") - optimum[weighting]) > 0.05
    assert final("scaffold") == pytest.approx(optimum[weighting], abs=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_short_numbers_on_the_wire_leave_c_the_mean_of_the_clients_own(
    federate: Callable[..., Any], sgd_clients: Callable[..., Any], tmp_path: Path, dtype: str
) -> None:
    """And the fixed point where it is. Whole and rounded, c drifts by 1e-3 in 40 rounds."""
    clients = sgd_clients("scaffold", {}, dtype=dtype)
    facts = {"num_clients": 2, "rounds": 40, "weighting": "uniform", "wire_dtype": dtype}
    strategy = federate("scaffold", clients, numbers(0.0), **facts)
    own = []
    for client in (0, 1):
        private = PrivateState(tmp_path, strategy.federation.run, client, 0)
        own.append(private.load(40).hook["w"])
    np.testing.assert_allclose(strategy.state.section("c")["w"], np.mean(own, 0), atol=1e-6)
    np.testing.assert_allclose(strategy.state.arrays["w"], -0.6, atol=1e-3)


# Of c_k = 6, 6 and 12, and of 1, 3 and 5 examples.
@pytest.mark.parametrize(("weighting", "mean"), [("uniform", 8.0), ("examples", 84 / 9)])
def test_c_stays_the_mean_of_the_clients_own(
    federate: Callable[..., Any], good_reply: GoodReply, weighting: str, mean: float
) -> None:
    """A reply that is left out changes neither c nor what its client goes on from."""
    saved: dict[tuple[int, int], float] = {}

    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        client, number, state_round = request.client, request.round, request.state_round
        before = saved.get((client, state_round), 0.0) if state_round else 0.0
        after = before + client + number
        saved[client, number] = after
        reply = good_reply(unpack(request.arrays), extra=numbers(after - before), saved_state=True)
        if request.client == 1 and request.round == 2:
            cast(MetricRecord, reply["metrics"])["num_examples"] = -1
        return reply

    facts = {"num_clients": 3, "min_replies": 2, "weighting": weighting}
    strategy = federate("scaffold", train, ZERO, rounds=3, **facts)
    assert strategy.state.saved_rounds == {0: 3, 1: 3, 2: 3}
    # client 0: 1 + 2 + 3; client 1: 2 + 4 (round 2 is lost); client 2: 3 + 4 + 5
    assert [saved[client, 3] for client in range(3)] == [6.0, 6.0, 12.0]
    np.testing.assert_allclose(strategy.state.section("c")["w"], mean, rtol=1e-6)


@pytest.mark.parametrize(
    "change", [{}, numbers(1.0, 2.0), numbers(np.nan), {"v": np.ones(1, np.float32)}]
)
def test_a_change_that_cannot_be_used(
    federate: Callable[..., Any], good_reply: GoodReply, change: Arrays
) -> None:
    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + client + 1}, extra=change if client else numbers(3.0))

    strategy = federate("scaffold", train, ZERO, min_replies=1)
    np.testing.assert_array_equal(strategy.state.arrays["w"], [1.0])
    np.testing.assert_array_equal(strategy.state.section("c")["w"], [3.0 * 1 / 4])


@pytest.mark.parametrize(
    ("key", "value"),
    [("server_lr", 0.0), ("server_lr", np.inf), ("correction", -0.1), ("correction", 1.1)],
)
def test_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"algorithm\.{key}="):
        Params(**({"server_lr": 1.0, "correction": 1.0} | {key: value}))
