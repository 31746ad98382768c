"""FedSA-LoRA: A is everybody's, B its client's."""

import numpy as np

from tests.strategies.pairs import Clients, begun, start

OWN_MODELS = True
A, B = {"llm.q.lora_A", "llm.v.lora_A"}, {"llm.q.lora_B", "llm.v.lora_B"}


def test_by_hand(federate, good_reply):
    """A of 1 and 5 from 1 and 3 examples: 4."""
    arrays = {"x.lora_A": np.float32([[0]]), "x.lora_B": np.float32([[0]])}
    state = federate(
        "fedsa_lora",
        lambda k, number, shared: good_reply({"x.lora_A": np.float32([[1 + 4 * k]])}, 1 + 2 * k),
        arrays,
    ).state
    assert {name: values.item() for name, values in state.arrays.items()} == {"x.lora_A": 4}


def test_b_never_travels(federate, good_reply):
    clients = Clients(good_reply)
    strategy = federate("fedsa_lora", clients, start(), rounds=3)
    moved = {"connector.w"} | A
    assert all(each.names == (moved, set(), moved) for each in clients.log.values())
    assert set(strategy.state.arrays) == moved


def test_clients_score_models_of_their_own_where_there_are_adapters():
    assert begun("fedsa_lora", start()).personal
    connector = {"connector.w": np.zeros(2, np.float32)}
    assert not begun("fedsa_lora", connector).personal
