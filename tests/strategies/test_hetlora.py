"""HetLoRA: zero-padding, weights by the products' lengths, clients that prune themselves."""

import numpy as np
import pytest
import torch
from torch import nn

from fedvlm_flwr.adapters import padded, trimmed
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import unpack
from strategies import load_hook
from strategies.core.client_hook import RoundInput
from tests import choices
from tests.strategies.pairs import Clients, States, copy_of, start

MIXED_RANKS = True
RANK = 8


def pair(a, b):
    return {"x.lora_A": np.float32(a), "x.lora_B": np.float32(b)}


def test_by_hand(federate, good_reply):
    """Products of 2 and 6 weigh 1/4 and 3/4, whatever the examples: A = 2.5, B = 2."""
    sent = [pair([[1]], [[2]]), pair([[3]], [[2]])]
    state = federate("hetlora", lambda k, *_: good_reply(sent[k], 9 - 8 * k), sent[0]).state
    assert (state.arrays["x.lora_A"].item(), state.arrays["x.lora_B"].item()) == (2.5, 2)


def test_lower_ranks_are_padded_with_zeros(federate, good_reply):
    """Ranks 1 and 2 with products of the length 5: row 2 has half of what its one owner sent."""
    sent = [pair([[5, 0]], [[1], [0]]), pair([[0, 4], [3, 0]], [[1, 0], [0, 1]])]
    first = pair(np.ones((2, 2)), np.zeros((2, 2)))
    state = federate("hetlora", lambda k, *_: good_reply(sent[k]), first, ranks=(1, 2)).state
    np.testing.assert_allclose(state.arrays["x.lora_A"], [[2.5, 2], [1.5, 0]])
    np.testing.assert_allclose(state.arrays["x.lora_B"], [[1, 0], [0, 0.5]])


def test_rows_that_nobody_of_a_round_has_stay_as_they_were(federate, good_reply):
    first = pair(np.arange(6).reshape(3, 2), np.arange(6).reshape(2, 3))
    sent = pair([[7, 7]], [[8], [8]])
    state = federate("hetlora", lambda *_: good_reply(sent), first, ranks=(1,)).state
    np.testing.assert_array_equal(state.arrays["x.lora_A"], [[7, 7], [2, 3], [4, 5]])
    np.testing.assert_array_equal(state.arrays["x.lora_B"], [[8, 1, 2], [8, 4, 5]])
    assert not state.server, "a configured rank is none that has fallen"


def trains(good_reply, rates, params, log):
    """Clients that shrink (rate < 0) or grow their factors, with the algorithm's real hook."""

    def work(content):
        request = TrainRequest.unpack(content)
        sent, rate = unpack(request.arrays), rates[request.client]
        log[request.round, request.client] = sent
        shared = padded(sent, {name: values.shape for name, values in start(RANK).items()})
        hook = load_hook(choices.algorithm("hetlora", params))
        parameters = {n: nn.Parameter(torch.from_numpy(v.copy())) for n, v in shared.items()}
        hook.on_start(parameters, RoundInput(shared))
        with torch.no_grad():
            for parameter in parameters.values():
                parameter.mul_(1 + rate)
        hook.on_end(parameters, 1)
        after = {n: p.detach().numpy() for n, p in parameters.items()}
        return good_reply(trimmed(after, {n: v.shape for n, v in sent.items()}))

    return work


def first():
    arrays = start(RANK)
    ones = {n: np.ones_like(v) for n, v in arrays.items() if n.endswith("lora_B")}
    return arrays | ones


def rank(arrays):
    return arrays["llm.q.lora_A"].shape[0], arrays["llm.v.lora_B"].shape[1]


def test_a_client_prunes_itself_and_its_rank_never_rises(federate, good_reply):
    """Client 0 shrinks in three rounds, then grows; client 1 always grows."""
    rates, log, seen = {0: -0.1, 1: 0.1}, {}, States()
    params = {"gamma": 0.5, "penalty": 0.0}
    work = trains(good_reply, rates, params, log)

    def train(content):
        rates[0] = -0.1 if content["request"]["round"] <= 3 else 0.1
        return work(content)

    state = federate("hetlora", train, first(), params, rounds=5, callback=seen).state
    assert [rank(log[n, 0]) for n in range(1, 6)] == [(r, r) for r in (8, 4, 2, 1, 1)]
    assert [rank(log[n, 1]) for n in range(1, 6)] == [(8, 8)] * 5
    ranks = [s.section("rank") for s in seen.by_round.values()]
    assert [each["0"].item() for each in ranks] == [4, 2, 1, 1, 1]
    assert all(set(each) == {"0"} for each in ranks)
    assert rank(state.arrays) == (8, 8)


def test_a_fallen_rank_outlives_a_restart(federate, good_reply):
    log, params = {}, {"gamma": 0.5, "penalty": 0.0}
    work = trains(good_reply, {0: -0.1, 1: 0.1}, params, log)
    begun = federate("hetlora", work, first(), params).state
    log.clear()
    federate("hetlora", work, first(), params, rounds=2, resume=copy_of(begun))
    assert (rank(log[2, 0]), rank(log[2, 1])) == ((4, 4), (8, 8))


def test_what_all_have_cut_off_adds_nothing_and_can_be_trained_again(federate, good_reply):
    params = {"gamma": 0.5, "penalty": 0.0}
    work = trains(good_reply, {0: -0.1, 1: -0.1}, params, {})
    arrays = federate("hetlora", work, first(), params).state.arrays
    assert not arrays["llm.q.lora_B"][:, 4:].any()
    np.testing.assert_array_equal(arrays["llm.q.lora_A"][4:], first()["llm.q.lora_A"][4:])


@pytest.mark.parametrize("gamma", [1.0, 0.95])
def test_gamma_1_and_a_rank_of_1_prune_nothing(federate, good_reply, gamma):
    log, params = {}, {"gamma": gamma, "penalty": 1.0}
    ranks = None if gamma == 1 else (1,)
    work = trains(good_reply, {0: -0.1, 1: -0.1}, params, log)
    state = federate("hetlora", work, first(), params, rounds=2, ranks=ranks).state
    assert not state.server


def test_the_penalty_is_the_gradient_of_the_tails_lengths():
    shared = first()
    parameters = {n: nn.Parameter(torch.from_numpy(v.copy())) for n, v in shared.items()}
    hook = load_hook(choices.algorithm("hetlora", {"gamma": 0.4, "penalty": 0.3}))
    hook.on_start(parameters, RoundInput(shared))
    hook.on_gradients(parameters)
    own = {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}
    for parameter in parameters.values():
        parameter.grad = None
    tail = 3  # 0.4 of 8
    lengths = sum(
        parameters[f"{layer}.lora_A"][tail:].norm() * parameters[f"{layer}.lora_B"][:, tail:].norm()
        for layer in ("llm.q", "llm.v")
    )
    (0.3 * lengths).backward()
    assert own.keys() == {n for n, p in parameters.items() if p.grad is not None}
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, parameters[name].grad)


def test_a_product_of_zero_has_no_say_but_no_division_by_zero(federate, good_reply):
    """At the start, where nobody has trained: the mean, by equal weights."""
    arrays = federate("hetlora", lambda k, n, shared: good_reply(shared), start()).state.arrays
    for name, values in start().items():
        np.testing.assert_allclose(arrays[name], values, rtol=1e-6)
    clients = Clients(good_reply)

    def one_idle(content):
        reply = clients(content)
        return good_reply(start()) if content["request"]["client"] == 1 else reply

    arrays = federate("hetlora", one_idle, start()).state.arrays
    np.testing.assert_allclose(arrays["llm.q.lora_A"], clients.log[1, 0].up["llm.q.lora_A"])
