"""FFA-LoRA: A as it started, sent once; B averaged."""

import numpy as np

from tests.strategies.pairs import Clients, start

EXACT = True
A, B = {"llm.q.lora_A", "llm.v.lora_A"}, {"llm.q.lora_B", "llm.v.lora_B"}


def test_by_hand(federate, good_reply):
    """A is 2; B of 1 and 5 from 1 and 3 examples: 4, and the product 8 is that of the mean."""

    def train(content):
        client = content["request"]["client"]
        return good_reply({"x.lora_B": np.float32([[1 + 4 * client]])}, 1 + 2 * client)

    arrays = {"x.lora_A": np.float32([[2]]), "x.lora_B": np.float32([[0]])}
    state = federate("ffa_lora", train, arrays).state
    assert (state.arrays["x.lora_A"].item(), state.arrays["x.lora_B"].item()) == (2, 4)


def test_a_travels_in_a_clients_first_message_alone(federate, good_reply):
    clients = Clients(good_reply, fails=frozenset({(1, 2)}))
    state = federate("ffa_lora", clients, start(), rounds=3, num_clients=3, min_replies=2).state
    for (number, client), each in clients.log.items():
        first = number == 1 or (client == 2 and number == 2)  # a reply that failed counts as none
        moved = {"connector.w"} | B
        assert each.names == (moved, {"lora_A"} if first else set(), moved)
        assert {name.partition("/")[2] for name in each.deposits} == (A if first else set())
        for name in A:
            np.testing.assert_array_equal(each.before[name], start()[name])
    assert state.holds == {client: {"lora_A": 1} for client in range(3)}
    for name in A:
        np.testing.assert_array_equal(state.arrays[name], start()[name])


def test_a_reply_that_holds_a_is_left_out(federate, good_reply):
    """It was asked for B alone."""
    clients = Clients(good_reply)

    def train(content):
        reply = clients(content)
        if content["request"]["client"] == 1:
            return good_reply(start())
        return reply

    state = federate("ffa_lora", train, start(), min_replies=1).state
    for name in B:
        np.testing.assert_array_equal(state.arrays[name], clients.log[1, 0].up[name])
