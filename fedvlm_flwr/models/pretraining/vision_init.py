"""Where a small CLIP vision tower starts, so that minutes of training are enough."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

AMPLITUDE = 0.5  # standard deviation of content and position where they are added


@torch.no_grad()
def initialize_vision(embeddings: Any, pixels: Tensor) -> None:
    """Set the patch and position embeddings of a CLIP vision tower from waves.

    Patches start as cosine filters, lowest frequencies first, each scaled to the same standard
    deviation over `pixels`: otherwise the mean color drowns the edges. Positions start as sines
    and cosines of row and column: CLIP's own start is 25 times smaller than the content, so that
    position would be learnt very late.

    Args:
        embeddings: a `CLIPVisionEmbeddings`.
        pixels: images as the tower sees them, [N, 3, side, side].
    """
    filters = embeddings.patch_embedding.weight  # [width, 3, patch, patch]
    filters.copy_(cosine_filters(len(filters), filters.shape[-1]))
    response = F.conv2d(pixels, filters, stride=filters.shape[-1]).std(dim=(0, 2, 3))
    filters *= (AMPLITUDE / response.clamp(min=1e-3))[:, None, None, None]
    places = embeddings.position_embedding.weight  # [1 + grid * grid, width], class token first
    places[1:] = waves(pixels.shape[-1] // filters.shape[-1], places.shape[1])


def cosine_filters(count: int, patch: int) -> Tensor:
    """The lowest two-dimensional cosine waves on each color, [count, 3, patch, patch]."""
    angle = (torch.arange(patch) + 0.5) * torch.pi / patch
    order = sorted(
        (u + v, max(u, v), u, v, c) for u in range(patch) for v in range(patch) for c in range(3)
    )
    filters = torch.zeros(count, 3, patch, patch)
    for row, (_, _, u, v, color) in zip(filters, order, strict=False):
        wave = torch.outer(torch.cos(u * angle), torch.cos(v * angle))
        row[color] = wave / wave.norm()
    return filters


def waves(grid: int, width: int) -> Tensor:
    """Sines and cosines of each patch's row and column, [grid * grid, width]."""
    frequency = torch.pi / grid * torch.linspace(0.5, grid, width // 4)
    angle = torch.arange(grid)[:, None] * frequency  # [grid, width / 4]
    wave = AMPLITUDE * torch.cat([angle.sin(), angle.cos()], dim=1)  # [grid, width / 2]
    return torch.cat([wave.repeat_interleave(grid, 0), wave.repeat(grid, 1)], dim=1)
