"""Low-rank adapters as NumPy sees them: pairs of factors among named arrays, and their ranks.

An adapter of a linear layer adds s B A to its weight, with A of rank x inputs, B of outputs x rank
and the scale s that the server's rank gives (Hu et al. 2021, arXiv 2106.09685). It is the same for
every client, whatever its own rank: a smaller rank is the first rows of A and columns of B.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvlm_flwr.arrays import Arrays

LORA_A, LORA_B = "lora_A", "lora_B"
FACTORS = (LORA_A, LORA_B)
PREVIOUS = "previous"  # the deposit that holds the previous stages' result
RESIDUAL = "residual"  # deposits of this name and a number are factors of a term beside the base


@dataclass(frozen=True)
class Pair:
    """The two factors of a layer's adapter.

    Attributes:
        a: rank x inputs.
        b: outputs x rank.
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]

    @property
    def rank(self) -> int:
        """Rows of A."""
        return int(self.a.shape[0])


def is_factor(name: str) -> bool:
    """Whether a tensor is a factor of an adapter, by its stable name."""
    return name.endswith(FACTORS)


def is_residual(deposit: str) -> bool:
    """Whether a deposit is a part of the frozen term beside the base, by its name."""
    return deposit.partition(".")[0] == RESIDUAL


def pairs_in(arrays: Arrays) -> dict[str, Pair]:
    """The adapters of which both factors are there, by layer (`llm.layers.0.self_attn.q_proj`)."""
    return {
        layer: Pair(arrays[f"{layer}.{LORA_A}"], arrays[f"{layer}.{LORA_B}"])
        for layer in layers_in(arrays)
        if f"{layer}.{LORA_B}" in arrays
    }


def layers_in(arrays: Mapping[str, object]) -> list[str]:
    """The layers of which A is there, sorted."""
    end = f".{LORA_A}"
    return sorted(name.removesuffix(end) for name in arrays if name.endswith(end))


def highest_rank(arrays: Arrays) -> int:
    """The highest rank of the adapters there; 0: there are none."""
    return max((pair.rank for pair in pairs_in(arrays).values()), default=0)


def factors_of(pairs: Mapping[str, Pair]) -> Arrays:
    """Adapters as named arrays, the inverse of `pairs_in`."""
    named = [
        (f"{layer}.{LORA_A}", pair.a, f"{layer}.{LORA_B}", pair.b) for layer, pair in pairs.items()
    ]
    return {key: v for a, av, b, bv in named for key, v in ((a, av), (b, bv))}


def cut(arrays: Arrays, rank: int | None) -> Arrays:
    """The arrays with every adapter at a rank, or at its own where that is smaller.

    Args:
        rank: None: as they are.
    """
    if rank is None:
        return arrays
    return {name: _first(name, values, rank) for name, values in arrays.items()}


def _first(name: str, values: NDArray[np.float32], rank: int) -> NDArray[np.float32]:
    if name.endswith(LORA_A):
        return values[:rank]
    return values[:, :rank] if name.endswith(LORA_B) else values


def padded(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """The arrays with zeros behind the rows of A and columns of B that a smaller rank lacks.

    With zeros in both factors no gradient reaches them, so that they stay zeros while the rest is
    trained.

    Args:
        shapes: of the whole tensors, by name; what is no factor is left as it is.
    """
    return {
        name: _padded(name, values, shapes[name]) if name in shapes else values
        for name, values in arrays.items()
    }


def _padded(name: str, values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    axis = 0 if name.endswith(LORA_A) else 1
    if not is_factor(name) or values.ndim != 2 or len(shape) != 2:
        return values
    if values.shape[1 - axis] != shape[1 - axis] or values.shape[axis] >= shape[axis]:
        return values  # another layer, or a higher rank, is for whoever writes it to refuse
    zeros = [(0, 0), (0, 0)]
    zeros[axis] = (0, shape[axis] - values.shape[axis])
    return np.pad(values, zeros)


def trimmed(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """The inverse of `padded`: arrays without what lies beyond their shapes."""
    return {
        name: np.ascontiguousarray(values[tuple(slice(0, size) for size in shapes[name])])
        for name, values in arrays.items()
    }


def stacked(pieces: list[Arrays]) -> Arrays:
    """Several sets of factors as one, whose product in each layer is the sum of theirs."""
    names = {name for piece in pieces for name in piece}
    return {
        name: np.concatenate(
            [piece[name] for piece in pieces if name in piece],
            axis=0 if name.endswith(LORA_A) else 1,
        )
        for name in sorted(names)
    }


def negative(factors: Arrays) -> Arrays:
    """Factors whose products are those of the given ones with the other sign."""
    return {name: -values if name.endswith(LORA_B) else values for name, values in factors.items()}
