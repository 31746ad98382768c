"""Who sees whom in Show-o's sequence: everything sees the picture, text looks back only."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedvlm_flwr.models.transfer import to_device


def visible(
    pads: Sequence[int], prefixes: Sequence[int], length: int, device: torch.device
) -> Tensor:
    """What each position (second last axis) may look at (last axis), bool [B, 1, length, length].

    A position sees its row's prefix, which is all up to <|eoi|>, and whatever stands before it.
    Padding on the left is seen by nobody else; padding sees itself, since a softmax over nothing
    is not a number. Padding on the right is out of sight without further ado.

    Args:
        pads: places of padding on the left of each row.
        prefixes: places of each row's prefix, after the padding.
        length: of every row, padding included.
        device: where the mask shall lie.
    """
    rows = to_device(torch.tensor([pads, prefixes]), device)
    start, prefix = rows[..., None, None].unbind()  # [B, 1, 1]
    end = start + prefix
    places = torch.arange(length, device=device)
    looks, at = places[:, None], places[None, :]
    mask = (at >= start) & ((at <= looks) | (at < end)) | (at == looks)
    return mask[:, None]  # [B, length, length] to [B, 1, length, length]


def for_attention(mask: Tensor, implementation: str, dtype: torch.dtype) -> Tensor:
    """The mask in the form that an attention takes: bool for SDPA, to be added in eager mode.

    What is added is the lowest number of `dtype`, the precision of the attention's scores: the
    lowest float32 would become minus infinity in bfloat16.

    Args:
        mask: bool, [B, 1, length, length]; true where a position may look.
        implementation: transformers' name of the attention.
        dtype: of the numbers to be added.

    Returns:
        The same shape: the mask itself, or 0 where it is true and the lowest number elsewhere.
    """
    if implementation != "eager":
        return mask
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill(~mask, torch.finfo(dtype).min)
