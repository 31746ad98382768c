"""Tensors of unequal sizes as one: rows of tokens, and what processors make of pictures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def compact(name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    """In the smallest form that changes nothing: images take most of a client's memory.

    Args:
        name: the processor's name for the tensor.
        value: of any shape, which stays.
        dtype: for floats; masks become bool, other integers stay.
    """
    if name.endswith("_mask"):
        return value.bool()
    return value.to(dtype) if value.is_floating_point() else value


def padded(rows: Sequence[Sequence[int]], filler: int, *, left: bool) -> Tensor:
    """Rows of different lengths as one tensor, [B, T], filled up on the left or the right."""
    longest = max(map(len, rows))
    fillers = [[filler] * (longest - len(row)) for row in rows]
    return torch.tensor(
        [[*f, *row] if left else [*row, *f] for f, row in zip(fillers, rows, strict=True)]
    )


def masked(masks: Sequence[Tensor], lengths: Sequence[int], *, left: bool) -> Tensor:
    """What each token of a sequence attends to beside it, [B, T, ...]; nothing where it is filled.

    Args:
        masks: each [t, ...], of a row's first tokens; those behind attend to what the last does.
        lengths: of the rows.
        left: whether rows are filled up on the left.
    """
    whole = []
    for mask, length in zip(masks, lengths, strict=True):
        filler = mask.new_zeros(max(lengths) - length, *mask.shape[1:])
        row = (mask, mask[-1:].expand(length - len(mask), *mask.shape[1:]))
        whole.append(torch.cat([filler, *row] if left else [*row, filler]))
    return torch.stack(whole)


def concatenate(values: Sequence[Tensor]) -> Tensor:
    """One image after the other along the first dimension, all others filled up with zeros.

    Images of one family differ in the number of their tiles or patches; the networks know which
    are real.

    Args:
        values: each [n_i, ...] of as many dimensions.

    Returns:
        [sum of n_i, ...], each further dimension the largest of them.
    """
    shape = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    return torch.cat([zero_padded(value, shape) for value in values])


def zero_padded(value: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor [n, ...] filled up with zeros behind, to [n, *shape]."""
    missing = [want - have for want, have in zip(shape, value.shape[1:], strict=True)]
    if not any(missing):
        return value
    return F.pad(value, [n for more in reversed(missing) for n in (0, more)])
