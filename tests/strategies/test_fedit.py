"""FedIT: the plain mean, named."""

import numpy as np

from tests.strategies.pairs import CONNECTOR, Clients, start


def test_it_is_fedavg_bit_for_bit(federate, good_reply):
    own = federate("fedit", Clients(good_reply), start(), rounds=3).state
    average = federate("fedavg", Clients(good_reply), start(), rounds=3).state
    for name, values in own.arrays.items():
        np.testing.assert_array_equal(values, average.arrays[name])
    assert not own.server and not own.holds


def test_by_hand(federate, good_reply):
    """A of 1 and 3, B of 2 and -2, alike: 2 * 0, where the products' mean is (2 - 6) / 2."""
    sent = [{"x.lora_A": [[1]], "x.lora_B": [[2]]}, {"x.lora_A": [[3]], "x.lora_B": [[-2]]}]
    sent = [{n: np.float32(v) for n, v in arrays.items()} for arrays in sent]
    strategy = federate("fedit", lambda k, number, shared: good_reply(sent[k]), sent[0])
    a, b = (strategy.state.arrays[f"x.lora_{half}"].item() for half in "AB")
    assert (a, b, a * b) == (2, 0, 0)


def test_all_travels_both_ways(federate, good_reply):
    clients = Clients(good_reply)
    federate("fedit", clients, start(), rounds=2)
    assert all(each.names == (set(start()), set(), set(start())) for each in clients.log.values())
    assert CONNECTOR in start()
