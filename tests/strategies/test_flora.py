"""FLoRA: the clients' products beside the base, adapters anew."""

import numpy as np
import pytest

from fedvlm_flwr.adapters import pairs_in
from strategies.core.residuals import residual_parts, whole_residual
from tests.strategies.pairs import (
    Clients,
    States,
    assert_near,
    products,
    start,
)

EXACT = True
MIXED_RANKS = True


def test_by_hand(federate, good_reply):
    """3 * 2 and -1 * 4 from 1 and 3 examples: (6 - 12) / 4."""
    sent = [(2, 3, 1), (4, -1, 3)]

    def train(client, number, shared):
        a, b, examples = sent[client]
        arrays = {"x.lora_A": np.float32([[a]]), "x.lora_B": np.float32([[b]])}
        return good_reply(arrays, examples)

    one = {"x.lora_A": np.float32([[1]]), "x.lora_B": np.float32([[0]])}
    state = federate("flora", train, one).state
    assert products(whole_residual(state))["x"].item() == pytest.approx(-1.5)
    assert state.arrays["x.lora_B"].item() == 0


def test_adapters_start_anew_each_round_by_the_seed(federate, good_reply):
    def run(seed):
        seen = States()
        federate("flora", Clients(good_reply), start(), rounds=3, seed=seed, callback=seen)
        return [state.arrays for state in seen.by_round.values()]

    rounds, again, other = run(0), run(0), run(1)
    for number, arrays in enumerate(rounds):
        for layer, pair in pairs_in(arrays).items():
            assert not pair.b.any()
            limit = 1 / np.sqrt(pair.a.shape[1])
            assert 0.5 * limit < np.abs(pair.a).max() <= limit
            name = f"{layer}.lora_A"
            np.testing.assert_array_equal(pair.a, again[number][name])
            assert not np.array_equal(pair.a, other[number][name])
            assert number == 0 or not np.array_equal(pair.a, rounds[number - 1][name])
    q, v = (rounds[0][f"llm.{n}.lora_A"] for n in "qv")
    assert not np.array_equal(q[:, :5], v), "each layer has a draw of its own"


def test_a_part_has_all_clients_rows_and_travels_once(federate, good_reply):
    clients, seen = Clients(good_reply), States()
    big = {"llm.q": (60, 60)}
    facts = {"num_clients": 3, "ranks": (2, 4, 8), "callback": seen}
    federate("flora", clients, start(8, big), rounds=3, **facts)
    parts = residual_parts(seen.by_round[3])
    assert {n: pairs_in(part)["llm.q"].rank for n, part in parts.items()} == {1: 14, 2: 14, 3: 14}
    for (number, _), each in clients.log.items():
        assert each.names[1] == ({f"residual.{number - 1}"} if number > 1 else set())


def test_clients_compute_with_all_that_was_merged(federate, good_reply):
    clients, seen = Clients(good_reply), States()
    federate("flora", clients, start(2), rounds=4, callback=seen)
    for (number, _), each in clients.log.items():
        if number > 1:
            term = products(whole_residual(seen.by_round[number - 1]))
            assert_near(products(each.residual), term, 1e-7)
