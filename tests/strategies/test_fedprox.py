"""FedProx: the proximal gradient by hand, and what it does to a run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedvlm_flwr.errors import ConfigError
from strategies.core.client_hook import RoundInput, RoundOutput
from strategies.fedprox import Params, ProximalTerm

IS_FEDAVG_AT = {"mu": 0.0}


def moved(mu: float) -> dict[str, nn.Parameter]:
    """Parameters after a gradient, half of them private, that started the round at (1, 2)."""
    parameters = {n: nn.Parameter(torch.tensor([1.0, 2.0])) for n in ("shared", "private")}
    hook = ProximalTerm(Params(mu))
    hook.on_start(parameters, RoundInput({"shared": np.array([1.0, 2.0], np.float32)}))
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(torch.tensor([1.5, 1.0]))
            parameter.grad = torch.tensor([0.25, 0.5])
    hook.on_gradients(parameters)
    assert hook.on_end(parameters, 1) == RoundOutput()
    return parameters


def gradients(parameters: dict[str, nn.Parameter]) -> dict[str, list[float]]:
    return {name: p.grad.tolist() for name, p in parameters.items() if p.grad is not None}


def test_gradient_by_hand() -> None:
    # 0.25 + 2 * (1.5 - 1) and 0.5 + 2 * (1 - 2); the private tensor has no w_t
    assert gradients(moved(2.0)) == {"shared": [1.25, -1.5], "private": [0.25, 0.5]}


def test_mu_0_changes_no_gradient() -> None:
    assert gradients(moved(0.0)) == {"shared": [0.25, 0.5], "private": [0.25, 0.5]}


def test_the_first_step_is_not_held_back() -> None:
    """At w = w_t the term's gradient is 0, also where the loss reaches no parameter."""
    parameters = {"w": nn.Parameter(torch.tensor([3.0]))}
    hook = ProximalTerm(Params(10.0))
    hook.on_start(parameters, RoundInput({"w": np.array([3.0], np.float32)}))
    hook.on_gradients(parameters)
    assert parameters["w"].grad is not None and parameters["w"].grad.tolist() == [0.0]


def test_a_large_mu_holds_clients_near_the_shared_tensors(
    federate: Callable[..., Any], sgd_clients: Callable[..., Any]
) -> None:
    """One client, curvature 1, target 1, from 0: the fixed point of its steps is 1 / (1 + mu)."""
    clients = sgd_clients("fedprox", {"mu": 4.0}, steps=60)
    strategy = federate(
        "fedprox", clients, {"w": np.zeros(1, np.float32)}, {"mu": 4.0}, num_clients=1
    )
    np.testing.assert_allclose(strategy.state.arrays["w"], 0.2, rtol=1e-5)


@pytest.mark.parametrize("mu", [-1.0, float("nan"), float("inf")])
def test_refused(mu: float) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.mu="):
        Params(mu)
