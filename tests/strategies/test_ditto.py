"""Ditto: FedAvg's model, and each client's own near it."""

import numpy as np
import pytest
import torch
from torch import nn

from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import unpack
from strategies import load_hook
from strategies.core.client_hook import RoundInput
from tests import choices
from tests.strategies.conftest import CURVATURES, EXAMPLES, TARGETS

OWN_MODELS = True
W = {"w": np.zeros(2, np.float32)}


def sgd(hook, parameters, client, steps, rate):
    optimizer = torch.optim.SGD(parameters.values(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (CURVATURES[client] * (parameters["w"] - TARGETS[client]) ** 2 / 2).sum().backward()
        hook.on_gradients(parameters)
        optimizer.step()


def personal_clients(good_reply, params, steps=25, rate=0.1):
    """They minimise curvature/2 (w - target)^2 and their own model by SGD, by the real hooks.

    Returns:
        The function, and what stays with each client, by client and round.
    """
    disk = {}

    def work(content):
        request = TrainRequest.unpack(content)
        shared, client = unpack(request.arrays), request.client
        state = disk[client, request.state_round] if request.state_round else {}
        parameters = {n: nn.Parameter(torch.from_numpy(v.copy())) for n, v in shared.items()}
        hook = load_hook(choices.algorithm("ditto", params))
        start = RoundInput(shared, {}, state)
        hook.on_start(parameters, start)
        sgd(hook, parameters, client, steps, rate)
        after = {n: p.detach().numpy().copy() for n, p in parameters.items()}
        own = hook.personal(start)
        with torch.no_grad():
            for name, values in own.arrays.items():
                parameters[name].copy_(torch.from_numpy(values))
        own.hook.on_start(parameters, start)
        sgd(own.hook, parameters, client, steps, rate)
        disk[client, request.round] = {
            own.prefix + n: p.detach().numpy().copy() for n, p in parameters.items()
        }
        return good_reply(after, EXAMPLES[client], steps=steps, saved_state=True)

    return work, disk


def own_models(federate, good_reply, lam, rounds=5, **more):
    params = {"lam": lam, "adapters": None}
    work, disk = personal_clients(good_reply, params, **more)
    strategy = federate("ditto", work, W, params, rounds)
    hook = load_hook(choices.algorithm("ditto", params))
    w = strategy.state.arrays
    scored = [hook.scored(RoundInput(w, {}, disk[k, rounds]))["w"][0] for k in range(2)]
    return strategy, float(w["w"][0]), scored


@pytest.mark.parametrize("lam", [0.0, 0.5, 2.0])
def test_each_own_model_is_between_its_clients_optimum_and_the_shared_one(
    federate, good_reply, lam
):
    """v_k = (c_k t_k + lam w) / (c_k + lam), w as it came with the last round."""
    strategy, w, scored = own_models(federate, good_reply, lam)
    assert strategy.personal
    for k, value in enumerate(scored):
        c, t = CURVATURES[k], TARGETS[k]
        assert value == pytest.approx((c * t + lam * w) / (c + lam), abs=0.02)
    if not lam:
        assert scored == pytest.approx(TARGETS, abs=0.02)


def test_a_large_lam_is_everybodys_model(federate, good_reply):
    _, w, scored = own_models(federate, good_reply, 150.0, steps=60, rate=0.01)
    assert scored == pytest.approx([w, w], abs=0.05)
    assert max(abs(w - t) for t in TARGETS) > 0.3


def test_the_shared_model_is_fedavgs_bit_for_bit(federate, good_reply, sgd_clients):
    strategy, _, _ = own_models(federate, good_reply, 0.5, rounds=3, steps=10, rate=0.1)
    average = federate("fedavg", sgd_clients("fedavg", {}), W, rounds=3)
    np.testing.assert_array_equal(strategy.state.arrays["w"], average.state.arrays["w"])


def test_an_own_model_goes_on_from_where_it_was(good_reply):
    """And begins at the shared one; a client that never took part is scored by that."""
    hook = load_hook(choices.algorithm("ditto", {"lam": 0.5, "adapters": None}))
    new = RoundInput({"w": np.float32([1])})
    old = RoundInput({"w": np.float32([1])}, {}, {"personal/w": np.float32([7])})
    assert hook.personal(new).arrays["w"] == hook.scored(new)["w"] == 1
    assert hook.personal(old).arrays["w"] == hook.scored(old)["w"] == 7
