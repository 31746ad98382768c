"""Algebra of low-rank products without ever forming them: sums, best approximations, lengths.

A sum of products sum_k p_k B_k A_k is the product of stacked factors, [p_1 B_1, p_2 B_2, ...] and
[A_1; A_2; ...], of rank sum_k r_k. Whatever is asked of it needs QR of the two stacks and work on a
square core of that rank (HLoRA, arXiv 2503.00813). All of it in float64.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvlm_flwr.adapters import Pair
from fedvlm_flwr.arrays import float32

Matrix = NDArray[np.float64]

RESOLUTION = 2.0**-24  # of float32, in which factors travel


@dataclass(frozen=True)
class Product:
    """A matrix B A by its factors.

    Attributes:
        b: outputs x rank.
        a: rank x inputs.
    """

    b: Matrix
    a: Matrix

    @property
    def rank(self) -> int:
        """Columns of B; the matrix's own rank may be smaller."""
        return int(self.a.shape[0])


def weighted_sum(terms: Iterable[tuple[float, Pair]]) -> Product:
    """sum_k p_k B_k A_k.

    Args:
        terms: p_k and the pair, one at least; ranks may differ.
    """
    whole = [(weight, pair) for weight, pair in terms]
    b = np.concatenate([weight * pair.b.astype(np.float64) for weight, pair in whole], axis=1)
    a = np.concatenate([pair.a.astype(np.float64) for _, pair in whole], axis=0)
    return Product(b, a)


def singular(product: Product) -> tuple[Matrix, NDArray[np.float64], Matrix]:
    """The singular value decomposition U, s, V of a product, of its factors' rank at most."""
    q_b, r_b = np.linalg.qr(product.b)
    q_a, r_a = np.linalg.qr(product.a.T)
    u, s, v = np.linalg.svd(r_b @ r_a.T, full_matrices=False)
    return q_b @ u, s, v @ q_a.T


def compressed(product: Product) -> Product:
    """The same matrix to the precision of float32, by factors of no more than its own rank.

    What a difference of nearly equal products is to that precision nothing, is of rank 0.
    """
    u, s, v = singular(product)
    size = float(np.linalg.norm(product.b)) * float(np.linalg.norm(product.a))
    rank = int((s > RESOLUTION * size).sum())
    root = np.sqrt(s[:rank])
    return Product(u[:, :rank] * root, root[:, None] * v[:rank])


def best_pair(product: Product, rank: int, spare: NDArray[np.float32]) -> Pair:
    """The nearest matrix of a rank, its singular values shared alike between the two factors.

    Where the matrix itself has a smaller rank, the rows that are left over are `spare`'s, beside
    zeros in B: two zero factors would never be trained again.

    Args:
        spare: rank x inputs, the rows of A to fall back on.
    """
    u, s, v = singular(product)
    used = min(rank, int((s > RESOLUTION * s[:1].max(initial=0.0)).sum()))
    root = np.sqrt(s[:used])
    a, b = np.array(spare[:rank], dtype=np.float64), np.zeros((product.b.shape[0], rank))
    a[:used], b[:, :used] = root[:, None] * v[:used], u[:, :used] * root
    return Pair(float32(a), float32(b))


def length(product: Product) -> float:
    """The Frobenius norm of the product: the trace of (B'B)(AA') is its square."""
    square = float(np.vdot(product.b.T @ product.b, product.a @ product.a.T))
    return float(np.sqrt(max(square, 0.0)))


def difference(one: Product, other: Product) -> Product:
    """The first less the other."""
    return Product(
        np.concatenate([one.b, -other.b], axis=1), np.concatenate([one.a, other.a], axis=0)
    )


def as_product(pair: Pair) -> Product:
    """A pair in float64."""
    return Product(pair.b.astype(np.float64), pair.a.astype(np.float64))
