"""FlexLoRA: the mean product's singular values, as many as the rank."""

import numpy as np

from tests.strategies.pairs import (
    SIZES,
    Clients,
    States,
    assert_near,
    products,
    start,
)

MIXED_RANKS = True


def test_by_hand(federate, good_reply):
    """diag(8, 0) and diag(0, 2), alike: diag(4, 1), of rank 1 diag(4, 0) = (2, 0)' (2, 0)."""
    sent = [
        {"x.lora_A": np.float32([[2, 0]]), "x.lora_B": np.float32([[4], [0]])},
        {"x.lora_A": np.float32([[0, 1]]), "x.lora_B": np.float32([[0], [2]])},
    ]
    arrays = federate("flexlora", lambda k, *_: good_reply(sent[k]), sent[0]).state.arrays
    np.testing.assert_allclose(np.abs(arrays["x.lora_A"]), [[2, 0]], atol=1e-6)
    np.testing.assert_allclose(np.abs(arrays["x.lora_B"]), [[2], [0]], atol=1e-6)
    product = arrays["x.lora_B"] @ arrays["x.lora_A"]
    np.testing.assert_allclose(product, [[4, 0], [0, 0]], atol=1e-6)


def test_it_is_numpys_truncation_of_the_dense_mean_at_each_rank(federate, good_reply):
    """The server's of rank 4, and what a client of rank 2 is sent in the next round."""
    clients, seen = Clients(good_reply), States()
    facts = {"num_clients": 3, "ranks": (2, 3, 4), "callback": seen}
    federate("flexlora", clients, start(4), rounds=3, **facts)
    for number, state in seen.by_round.items():
        for layer, matrix in clients.mean_of_products(number).items():
            u, s, v = np.linalg.svd(matrix)
            for client, rank in ((None, 4), (0, 2), (1, 3)):
                best = {layer: (u[:, :rank] * s[:rank]) @ v[:rank]}
                if client is None:
                    assert_near({layer: products(state.arrays)[layer]}, best)
                elif number < 3:
                    arrays = clients.log[number + 1, client].before
                    assert_near({layer: products(arrays)[layer]}, best)


def test_at_full_rank_it_is_exact(federate, good_reply):
    clients, seen = Clients(good_reply), States()
    full = min(min(size) for size in SIZES.values())
    federate("flexlora", clients, start(full), rounds=3, num_clients=3, callback=seen)
    for number, state in seen.by_round.items():
        assert_near(products(state.arrays), clients.mean_of_products(number))


def test_a_clients_own_product_comes_back_in_another_basis(federate, good_reply):
    """Equal clients: the product is theirs, its factors are not."""
    same = {
        n: np.float32(np.random.default_rng(1).normal(size=v.shape)) for n, v in start().items()
    }
    arrays = federate("flexlora", lambda *_: good_reply(same), start()).state.arrays
    assert_near(products(arrays), products(same))
    assert not np.allclose(arrays["llm.q.lora_A"], same["llm.q.lora_A"], atol=1e-2)


def test_nothing_learnt_keeps_the_start(federate, good_reply):
    """A zero product has no singular vectors: A stays, so that B has a gradient."""
    arrays = federate("flexlora", lambda k, n, shared: good_reply(shared), start()).state.arrays
    for name, values in start().items():
        np.testing.assert_array_equal(arrays[name], values)
