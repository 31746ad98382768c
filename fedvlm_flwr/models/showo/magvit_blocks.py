"""The convolutional blocks of MAGVIT-v2's encoder and decoder, named as in its published weights.

All take and give [B, channels, height, width].
"""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fedvlm_flwr.errors import ConfigError


def norm(channels: int, groups: int) -> nn.GroupNorm:
    """Normalization over groups of channels."""
    return nn.GroupNorm(groups, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """Twice norm, swish and a 3 x 3 convolution, added to the input."""

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.norm1 = norm(before, groups)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = norm(after, groups)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        if before != after:
            self.nin_shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, after, height, width] of [B, before, height, width]."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        shortcut: Tensor = self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x
        return shortcut + cast(Tensor, hidden)


class SpatialAttention(nn.Module):
    """Every place looks at every other one, with one head, added to the input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = norm(channels, groups)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, height, width] of the same."""
        hidden = self.norm(x)
        query, key, value = (
            layer(hidden).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )  # [B, places, channels]
        values = F.scaled_dot_product_attention(query, key, value)  # [B, places, channels]
        return x + cast(Tensor, self.proj_out(values.transpose(1, 2).reshape(x.shape)))


class Middle(nn.Module):
    """What stands at the lowest resolution, in encoder and decoder alike."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, groups)
        self.attn_1 = SpatialAttention(channels, groups)
        self.block_2 = ResidualBlock(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, height, width] of the same."""
        return cast(Tensor, self.block_2(self.attn_1(self.block_1(x))))


class Downsample(nn.Module):
    """Half the height and width; the padding is on the right and at the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, height / 2, width / 2] of [B, channels, height, width]."""
        return cast(Tensor, self.conv(F.pad(x, (0, 1, 0, 1))))


class Upsample(nn.Module):
    """Twice the height and width, by repetition and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, 2 height, 2 width] of [B, channels, height, width]."""
        return cast(Tensor, self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))


class Level(nn.Module):
    """The blocks of one resolution, and the way to the next one where there is a next one."""

    def __init__(self, widths: tuple[int, int], blocks: int, groups: int, turn: str | None) -> None:
        """Make the layers.

        Args:
            widths: channels before the first block and after it.
            blocks: how many.
            groups: of the norms.
            turn: `downsample`, `upsample` or None, at the end.

        Raises:
            ConfigError: there is no block that could change the channels.
        """
        super().__init__()
        before, after = widths
        if blocks < 1 and before != after:
            raise ConfigError(
                f"A resolution of the image tokenizer has no block to make {after} channels of "
                f"{before}; give it one, or the same channels."
            )
        self.block = nn.ModuleList(
            ResidualBlock(after if i else before, after, groups) for i in range(blocks)
        )
        if turn == "downsample":
            self.downsample = Downsample(after)
        elif turn == "upsample":
            self.upsample = Upsample(after)

    def forward(self, x: Tensor) -> Tensor:
        """[B, after, height, width] of [B, before, height, width], halved or doubled."""
        for block in self.block:
            x = block(x)
        for turn in ("downsample", "upsample"):
            if hasattr(self, turn):
                x = getattr(self, turn)(x)
        return x
