"""MAGVIT-v2's image tokenizer (Yu et al. 2024, arXiv 2310.05737), as Show-o uses it.

Keys and shapes of the weights are those of the published `showlab/magvitv2`. Codes need no lookup:
the sign of each latent channel is one bit of the code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fedvlm_flwr.models.showo.magvit_blocks import Level, Middle, norm
from fedvlm_flwr.models.showo.sizes import MagvitSizes


class Encoder(nn.Module):
    """Pixels to latents."""

    def __init__(self, sizes: MagvitSizes) -> None:
        super().__init__()
        widths, groups = sizes.encoder_channels, sizes.groups
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            Level(pair, sizes.encoder_blocks[i], groups, "downsample" if i < last else None)
            for i, pair in enumerate(pairwise([widths[0], *widths]))
        )
        self.mid = Middle(widths[-1], groups)
        self.norm_out = norm(widths[-1], groups)
        self.conv_out = nn.Conv2d(widths[-1], sizes.bits, 3, padding=1)
        self.quant_conv = nn.Conv2d(sizes.bits, sizes.bits, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, bits, height / cell, width / cell] of [B, 3, height, width]."""
        hidden = self.conv_in(pixels)
        for level in self.down:
            hidden = level(hidden)
        hidden = self.conv_out(F.silu(self.norm_out(self.mid(hidden))))
        return cast(Tensor, self.quant_conv(hidden))


class Decoder(nn.Module):
    """Codes as signs to pixels."""

    def __init__(self, sizes: MagvitSizes) -> None:
        super().__init__()
        widths, groups = sizes.decoder_channels, sizes.groups
        self.post_quant_conv = nn.Conv2d(sizes.bits, sizes.bits, 1)
        self.conv_in = nn.Conv2d(sizes.bits, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], groups)
        self.up = nn.ModuleList(
            Level((before, after), sizes.decoder_blocks[i], groups, "upsample" if i else None)
            for i, (after, before) in enumerate(pairwise([*widths, widths[-1]]))
        )
        self.norm_out = norm(widths[0], groups)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, signs: Tensor) -> Tensor:
        """[B, 3, cell * rows, cell * columns] of [B, bits, rows, columns]."""
        hidden = self.mid(self.conv_in(self.post_quant_conv(signs)))
        for level in reversed(self.up):
            hidden = level(hidden)
        return cast(Tensor, self.conv_out(F.silu(self.norm_out(hidden))))


class Codebook(nn.Module):
    """Between latents, signs and codes; its two tables hold constants."""

    embedding: Tensor
    power_vals: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        values = 2 ** torch.arange(bits - 1, -1, -1)  # the first bit is worth most
        table = (torch.arange(2**bits)[:, None] & values) != 0
        self.register_buffer("embedding", table.float() * 2 - 1)  # [codes, bits] of -1 and 1
        self.register_buffer("power_vals", values)

    def forward(self, latents: Tensor) -> Tensor:
        """Codes [B, places] of [B, bits, rows, columns], row after row."""
        set_bits = (latents > 0).flatten(2).transpose(1, 2)  # [B, places, bits]
        return (set_bits * self.power_vals).sum(-1)


class MagvitTokenizer(nn.Module):
    """Pictures to codes and back.

    Computes in float32 whatever surrounds it: a code flips where rounding flips a latent's sign.

    Raises:
        ConfigError: the sizes contradict each other.
    """

    def __init__(self, sizes: MagvitSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = Encoder(sizes)
        self.decoder = Decoder(sizes)
        self.quantize = Codebook(sizes.bits)

    @torch.no_grad()
    def encode(self, pixel_values: Tensor) -> Tensor:
        """Codes, int64 [B, height / cell * width / cell], row after row.

        Args:
            pixel_values: [B, 3, height, width] in -1..1, sides multiples of `sizes.cell`.
        """
        return cast(Tensor, self.quantize(self.latents(pixel_values)))

    def latents(self, pixel_values: Tensor) -> Tensor:
        """What the codes' bits are the signs of, [B, bits, rows, columns], with gradient."""
        with exact(pixel_values.device):
            return cast(Tensor, self.encoder(pixel_values.float()))

    @torch.no_grad()
    def decode(self, ids: Tensor, columns: int | None = None) -> Tensor:
        """Pixels [B, 3, height, width], about -1..1.

        Args:
            ids: codes [B, rows * columns].
            columns: of codes; None: the picture is square.
        """
        across = columns or round(ids.shape[1] ** 0.5)
        signs = self.quantize.embedding[ids].transpose(1, 2)  # [B, bits, places]
        places = signs.reshape(*signs.shape[:2], -1, across)
        with exact(ids.device):
            return cast(Tensor, self.decoder(places))


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Full float32 inside: no autocast, no TF32 in convolutions and products."""
    cudnn, precision = torch.backends.cudnn, torch.get_float32_matmul_precision()
    flags = cudnn.flags(cudnn.enabled, cudnn.benchmark, deterministic=True, allow_tf32=False)
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False), flags:
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
