"""FedEx-LoRA: the means, and what they leave over beside the base."""

import numpy as np
import pytest

from fedvlm_flwr.adapters import pairs_in
from fedvlm_flwr.errors import ConfigError
from strategies.core.residuals import residual_parts, whole_residual
from tests.strategies.pairs import (
    SIZES,
    Clients,
    States,
    assert_near,
    begun,
    plus,
    products,
    served,
    start,
)

EXACT = True
MIXED_RANKS = True


def sends(good_reply, *pairs):
    """Clients that send these numbers as A and B of a 1 x 1 layer, round by round."""

    def train(client, number, shared):
        a, b = pairs[client]
        return good_reply({"x.lora_A": np.float32([[a]]), "x.lora_B": np.float32([[b]])})

    return train


def test_by_hand(federate, good_reply):
    """A of 1 and 3, B of 2 and -2: means 2 and 0, products' mean -2; so -2 is left over a round.

    The second round's clients send the same beside what they hold by then.
    """
    one = {"x.lora_A": np.float32([[1]]), "x.lora_B": np.float32([[0]])}
    train = sends(good_reply, (1, 2), (3, -2))
    state = federate("fedex_lora", train, one).state
    assert (state.arrays["x.lora_A"].item(), state.arrays["x.lora_B"].item()) == (2, 0)
    assert products(whole_residual(state))["x"].item() == pytest.approx(-2)


def test_each_part_travels_once_and_all_of_them_to_who_comes_late(federate, good_reply):
    clients = Clients(good_reply, fails=frozenset({(1, 2), (2, 2), (4, 1)}))
    big = {"llm.q": (60, 60), "llm.v": (70, 60)}  # no folding
    facts = {"rounds": 5, "num_clients": 3, "min_replies": 2}
    state = federate("fedex_lora", clients, start(2, big), **facts).state
    sent = {place: each.names[1] for place, each in clients.log.items()}
    parts = [f"residual.{number}" for number in range(1, 5)]
    assert [sent[n, 0] for n in range(1, 6)] == [set(), *({part} for part in parts)]
    assert [sent[n, 1] for n in range(4, 6)] == [{parts[2]}, set(parts[2:])]
    assert [sent[n, 2] for n in range(1, 5)] == [set(), {parts[0]}, set(parts[:2]), {parts[2]}]
    assert list(residual_parts(state)) == [1, 2, 3, 4, 5]
    ranks = {pair.rank for pair in pairs_in(residual_parts(state)[1]).values()}
    assert ranks == {(2 - 1) * 2}, "two clients answered: (K - 1) r"


def test_all_clients_hold_the_servers_term(federate, good_reply):
    clients, seen = Clients(good_reply), States()
    federate("fedex_lora", clients, start(2), rounds=5, num_clients=3, callback=seen)
    for (number, _), each in clients.log.items():
        if number > 1:
            before = seen.by_round[number - 1]
            held = plus(products(each.before), products(each.residual))
            assert_near(held, served(before), 1e-7)


def test_parts_become_one_where_they_pass_the_layers_own_rank(federate, good_reply):
    clients, seen = Clients(good_reply), States()
    federate("fedex_lora", clients, start(2), rounds=6, num_clients=2, callback=seen)
    numbers = {n: list(residual_parts(state)) for n, state in seen.by_round.items()}
    # 2 more a round, and the layers are of rank 5: 2, 4, 6 > 5, 7 > 5
    assert numbers == {1: [1], 2: [1, 2], 3: [3], 4: [4], 5: [5], 6: [6]}
    for state in seen.by_round.values():
        for layer, pair in pairs_in(whole_residual(state)).items():
            assert pair.rank <= min(SIZES[layer])
    assert clients.log[4, 0].names[1] == {"residual.3"}


@pytest.mark.parametrize("num_clients", [1, 2])
def test_what_leaves_nothing_over_sends_nothing(federate, good_reply, num_clients):
    """One client, or equal ones: FedAvg, without a term of no rows that would travel."""
    clients = Clients(good_reply)

    def train(content):
        content["request"]["client"] = 0
        return clients(content)

    state = federate("fedex_lora", train, start(), rounds=2, num_clients=num_clients).state
    assert not state.server and not state.holds
    assert all(not each.deposits for each in clients.log.values())
    np.testing.assert_array_equal(
        state.arrays["llm.q.lora_A"], clients.log[2, 0].up["llm.q.lora_A"]
    )


def test_a_layer_in_which_nothing_is_left_over_has_no_part(federate, good_reply):
    """Equal A in one layer: there the mean is exact."""
    clients = Clients(good_reply)

    def train(content):
        clients(content)
        client = content["request"]["client"]
        up = clients.log[1, client].up
        return good_reply(up | {"llm.q.lora_A": start()["llm.q.lora_A"]})

    state = federate("fedex_lora", train, start()).state
    assert set(pairs_in(residual_parts(state)[1])) == {"llm.v"}


def test_a_base_of_4_bits_takes_it():
    begun("fedex_lora", start(), quantized=True)
    with pytest.raises(ConfigError, match="algorithm=flora merges"):
        begun("flora", start(), quantized=True)
