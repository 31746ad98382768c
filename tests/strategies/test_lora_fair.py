"""LoRA-FAIR: the mean A, and the B whose product with it is nearest to the mean product."""

import numpy as np
import pytest

from fedvlm_flwr.adapters import Pair, pairs_in
from strategies.core.stored_pairs import mean_pair
from strategies.lora_fair import corrected
from tests.strategies.pairs import Clients, products, start

DRAW = np.random.default_rng(3)


def terms(count=3, rank=4):
    return [
        (
            weight,
            Pair(
                DRAW.normal(size=(rank, 7)).astype(np.float32),
                DRAW.normal(size=(9, rank)).astype(np.float32),
            ),
        )
        for weight in np.full(count, 1 / count)
    ]


def test_by_hand(federate, good_reply):
    """A of 1 and 3, B of 2 and -2: means 2 and 0, products' mean -2. With ridge 1 of A's square, 4:

    least of (-2 - 2 d)^2 + 4 d^2, where 2 (-2 - 2 d) = 4 d: d = -1/2.
    """
    sent = [(1, 2), (3, -2)]

    def train(client, number, shared):
        a, b = sent[client]
        return good_reply({"x.lora_A": np.float32([[a]]), "x.lora_B": np.float32([[b]])})

    one = {"x.lora_A": np.float32([[1]]), "x.lora_B": np.float32([[0]])}
    state = federate("lora_fair", train, one, {"ridge": 1.0}).state
    assert state.arrays["x.lora_A"].item() == 2
    assert state.arrays["x.lora_B"].item() == pytest.approx(-0.5)


@pytest.mark.parametrize("ridge", [1e-6, 0.01, 1.0])
def test_the_normal_equations_hold(ridge):
    """By dense least squares: B + dB from A' stacked on the root of the ridge."""
    each = terms()
    mean, best = mean_pair(each), corrected(each, ridge)
    np.testing.assert_array_equal(best.a, mean.a)
    a, b = mean.a.astype(np.float64), mean.b.astype(np.float64)
    dense = sum(w * p.b.astype(np.float64) @ p.a.astype(np.float64) for w, p in each)
    weight = ridge * np.square(a).sum() / len(a)
    left = np.concatenate([a.T, np.sqrt(weight) * np.eye(len(a))])
    right = np.concatenate([(dense - b @ a).T, np.zeros((len(a), len(b)))])
    step = np.linalg.lstsq(left, right, rcond=None)[0].T
    np.testing.assert_allclose(best.b, b + step, atol=1e-5)


def test_it_is_nearer_to_the_mean_product_than_the_plain_mean_and_at_a_large_ridge_that(
    federate, good_reply
):
    def away(name, params):
        clients = Clients(good_reply)
        arrays = federate(name, clients, start(), params).state.arrays
        dense, own = clients.mean_of_products(1), products(arrays)
        return [float(np.linalg.norm(own[layer] - dense[layer])) for layer in own]

    fair, plain = away("lora_fair", {}), away("fedit", {})
    assert all(one < 0.99 * other for one, other in zip(fair, plain, strict=True))
    np.testing.assert_allclose(away("lora_fair", {"ridge": 1e6}), plain, rtol=1e-4)


def test_a_mean_a_of_zeros_is_left_alone():
    one = Pair(np.zeros((2, 7), np.float32), np.ones((9, 2), np.float32))
    best = corrected([(1.0, one)], 0.01)
    np.testing.assert_array_equal(best.b, one.b)
    assert pairs_in({"x.lora_A": best.a, "x.lora_B": best.b})["x"].rank == 2
