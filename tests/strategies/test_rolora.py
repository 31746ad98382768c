"""RoLoRA: B in odd rounds, A in even ones; down goes what a client lacks."""

import numpy as np

from tests.strategies.pairs import Clients, States, start

EXACT = True
A, B = {"llm.q.lora_A", "llm.v.lora_A"}, {"llm.q.lora_B", "llm.v.lora_B"}
CONNECTOR = {"connector.w"}


def test_by_hand(federate, good_reply):
    """Alike, from A = 2, B = 0: B of 1 and 3, then A of 5 and 7; 2 * 6."""
    sent = {1: ("x.lora_B", (1, 3)), 2: ("x.lora_A", (5, 7))}

    def train(content):
        client, number = content["request"]["client"], content["request"]["round"]
        name, values = sent[number]
        return good_reply({name: np.float32([[values[client]]])})

    arrays = {"x.lora_A": np.float32([[2]]), "x.lora_B": np.float32([[0]])}
    state = federate("rolora", train, arrays, rounds=2).state
    assert (state.arrays["x.lora_A"].item(), state.arrays["x.lora_B"].item()) == (6, 2)


def test_one_half_goes_up_and_the_changed_one_down(federate, good_reply):
    clients = Clients(good_reply)
    federate("rolora", clients, start(), rounds=4, num_clients=2)
    down = {1: {"lora_A", "lora_B"}, 2: {"lora_B"}, 3: {"lora_A"}, 4: {"lora_B"}}
    for (number, _), each in clients.log.items():
        assert each.names == (CONNECTOR, down[number], CONNECTOR | (B if number % 2 else A))


def test_who_missed_rounds_gets_what_it_lacks_and_has_the_servers_halves(federate, good_reply):
    failing = {(2, 2), (3, 2), (4, 1), (5, 1)}
    clients, seen = Clients(good_reply, fails=frozenset(failing)), States()
    federate("rolora", clients, start(), rounds=6, num_clients=3, min_replies=2, callback=seen)
    lacking = {number: clients.log[number, 2].names[1] for number in range(1, 7)}
    both = {"lora_A", "lora_B"}
    # after the failed 2 it lacks the B of round 1 still, and the A of round 2 as well
    assert lacking == {1: both, 2: {"lora_B"}, 3: both, 4: both, 5: {"lora_B"}, 6: {"lora_A"}} | {
        5: {"lora_A"},
        6: {"lora_B"},
    }
    assert {n: clients.log[n, 1].names[1] for n in (4, 5, 6)} == {4: {"lora_B"}, 5: both, 6: both}
    for (number, _), each in clients.log.items():
        server = start() if number == 1 else seen.by_round[number - 1].arrays
        assert each.before.keys() == server.keys()
        for name, values in each.before.items():
            np.testing.assert_array_equal(values, server[name], err_msg=f"{number} {name}")


def test_the_half_at_rest_does_not_move(federate, good_reply):
    seen = States()
    federate("rolora", Clients(good_reply), start(), rounds=4, callback=seen)
    for number in range(2, 5):
        old, new = seen.by_round[number - 1].arrays, seen.by_round[number].arrays
        for name in A | B:
            rests = name in (A if number % 2 else B)
            assert np.array_equal(old[name], new[name]) == rests
