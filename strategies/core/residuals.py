"""The frozen term beside the base that rules over adapters add to, round by round."""

from collections.abc import Mapping

import numpy as np

from fedvlm_flwr.adapters import RESIDUAL, Pair, factors_of, is_residual, pairs_in, stacked
from fedvlm_flwr.arrays import Arrays, float32
from strategies.core.deposits import Deposit
from strategies.core.factors import Product, as_product, compressed
from strategies.core.state import ServerState


def add_residual(state: ServerState, server_round: int, terms: Mapping[str, Product]) -> None:
    """Add a round's products to the term, by layer.

    Each round's part is kept as it is, so that clients are sent only what they lack. Once the parts
    together have more rows than a layer has inputs or outputs, they become one of that rank.

    Args:
        terms: exact products; parts of them that are zero are dropped.
    """
    parts = residual_parts(state)
    parts[server_round] = _compressed(terms)
    if any(pair.rank > min(pair.a.shape[1], pair.b.shape[0]) for pair in _whole(parts).values()):
        for number in parts:
            state.replace_section(f"{RESIDUAL}.{number}", {})
        one = {layer: as_product(pair) for layer, pair in _whole(parts).items()}
        parts = {server_round: _compressed(one)}
    state.replace_section(f"{RESIDUAL}.{server_round}", parts[server_round])


def _compressed(terms: Mapping[str, Product]) -> Arrays:
    """By as few rows as it takes; a layer in which there are none is left out."""
    pairs = {
        layer: Pair(float32(product.a), float32(product.b))
        for layer, product in ((layer, compressed(term)) for layer, term in terms.items())
        if product.rank
    }
    return factors_of(pairs)


def _whole(parts: Mapping[int, Arrays]) -> dict[str, Pair]:
    return pairs_in(stacked(list(parts.values())))


def residual_parts(state: ServerState) -> dict[int, Arrays]:
    """The term's parts by the round that added them."""
    names = {name.partition("/")[0] for name in state.server if is_residual(name.partition("/")[0])}
    numbers = sorted(int(name.partition(".")[2]) for name in names)
    return {number: state.section(f"{RESIDUAL}.{number}") for number in numbers}


def residual_deposits(state: ServerState) -> dict[str, Deposit]:
    """What clients keep of it: each part once."""
    parts = residual_parts(state)
    return {f"{RESIDUAL}.{n}": Deposit(n, arrays) for n, arrays in parts.items() if arrays}


def part_shapes(shared: Arrays, rank: int) -> Arrays:
    """A part of the term for these adapters at a rank, or the layer's own: zeros without room."""
    shapes = {
        layer: (min(rank, pair.a.shape[1], pair.b.shape[0]), pair.a.shape[1], pair.b.shape[0])
        for layer, pair in pairs_in(shared).items()
    }
    zero = np.float32(0)
    return factors_of(
        {
            layer: Pair(np.broadcast_to(zero, (r, inputs)), np.broadcast_to(zero, (outputs, r)))
            for layer, (r, inputs, outputs) in shapes.items()
        }
    )


def whole_residual(state: ServerState) -> Arrays:
    """The term's factors, its parts stacked in the order in which clients stack them."""
    parts = residual_parts(state)
    return stacked([parts[n] for n in sorted(parts, key=lambda n: f"{RESIDUAL}.{n}")])
