"""The algebra of low-rank products against dense matrices."""

import numpy as np
import pytest

from fedvlm_flwr.adapters import Pair
from strategies.core.factors import (
    Product,
    as_product,
    best_pair,
    compressed,
    difference,
    length,
    singular,
    weighted_sum,
)

DRAW = np.random.default_rng(0)


def pair(rank: int, outputs: int = 9, inputs: int = 7) -> Pair:
    a = DRAW.normal(size=(rank, inputs)).astype(np.float32)
    return Pair(a, DRAW.normal(size=(outputs, rank)).astype(np.float32))


def dense(product: Product):
    return product.b @ product.a


def both(one: Pair):
    return one.b.astype(np.float64) @ one.a.astype(np.float64)


@pytest.mark.parametrize("ranks", [(1,), (2, 3), (4, 4, 4), (12, 1)])
def test_sums_and_singular_values_are_the_dense_ones(ranks):
    """Also where the stack has more rows than the matrix has inputs or outputs."""
    terms = [(0.5 + k, pair(rank)) for k, rank in enumerate(ranks)]
    matrix = sum(weight * both(each) for weight, each in terms)
    product = weighted_sum(terms)
    np.testing.assert_allclose(dense(product), matrix, atol=1e-12)
    u, s, v = singular(product)
    most = min(sum(ranks), 7)
    exact = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(s[:most], exact[:most], atol=1e-9)
    np.testing.assert_allclose((u * s) @ v, matrix, atol=1e-9)
    assert length(product) == pytest.approx(np.linalg.norm(matrix), abs=1e-9)


def test_compressed_has_the_matrixs_own_rank():
    one, other = pair(2), pair(3)
    product = compressed(weighted_sum([(1.0, one), (2.0, other), (-0.5, one)]))
    assert product.rank == 5
    np.testing.assert_allclose(dense(product), 0.5 * both(one) + 2 * both(other), atol=1e-5)
    assert compressed(weighted_sum([(1.0, pair(30))])).rank == 7


def test_what_is_nothing_beside_the_terms_is_of_rank_0():
    """A difference of equal products, though none of its numbers is exactly 0."""
    one = pair(3)
    turn = np.linalg.qr(DRAW.normal(size=(3, 3)))[0]
    turned = Product(one.b @ turn, turn.T @ one.a)
    away = difference(as_product(one), turned)
    assert dense(away).any()
    assert compressed(away).rank == 0
    assert compressed(Product(np.zeros((9, 0)), np.zeros((0, 7)))).rank == 0
    assert compressed(Product(np.zeros((9, 2)), np.zeros((2, 7)))).rank == 0


@pytest.mark.parametrize("rank", [1, 2, 4, 6])
def test_the_best_pair_is_numpys_truncation_shared_alike(rank):
    terms = [(0.3, pair(4)), (0.7, pair(3))]
    u, s, v = np.linalg.svd(sum(w * both(each) for w, each in terms))
    best = best_pair(weighted_sum(terms), rank, np.ones((8, 7), np.float32))
    np.testing.assert_allclose(both(best), (u[:, :rank] * s[:rank]) @ v[:rank], atol=1e-5)
    for factor in (best.a @ best.a.T, best.b.T @ best.b):
        np.testing.assert_allclose(factor, np.diag(s[:rank]), atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0])
def test_rows_that_are_left_over_are_the_spare_ones(scale):
    """Whatever the product's size: zeros in both factors would never be trained again."""
    one, spare = pair(2), pair(5).a
    best = best_pair(weighted_sum([(scale, one)]), 5, spare)
    used = 2 if scale else 0
    np.testing.assert_array_equal(best.a[used:], spare[used:])
    assert not best.b[:, used:].any()
    np.testing.assert_allclose(both(best), scale * both(one), atol=1e-6 * scale)


def test_a_length_is_never_the_root_of_less_than_nothing():
    one = as_product(pair(2))
    assert length(difference(one, one)) == pytest.approx(0, abs=1e-6)
