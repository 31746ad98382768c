"""How far the weights of one model lie from those of another."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Distance:
    """Differences of single weights.

    Attributes:
        largest: the largest of them, without its sign.
        rms: the root of the mean of their squares.
        scale: the root of the mean of the squares of the weights themselves.
    """

    largest: float
    rms: float
    scale: float


@torch.no_grad()
def distance(weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Distance:
    """The distance of other weights, over all tensors of floating point.

    Args:
        weights: by name, of any shapes.
        others: of the same network.
    """
    names = [name for name, tensor in weights.items() if tensor.is_floating_point()]
    flat, other = (
        torch.cat([own[name].double().reshape(-1) for name in names]) for own in (weights, others)
    )
    gap = flat - other
    return Distance(
        largest=float(gap.abs().max()),
        rms=float(gap.square().mean().sqrt()),
        scale=float(flat.square().mean().sqrt()),
    )
