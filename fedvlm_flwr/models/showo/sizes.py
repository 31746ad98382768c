"""How large a Show-o is, its image tokenizer included."""

from dataclasses import dataclass, field

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import setting

MARKS = 3  # <|mmu|> and <|soi|> before a picture's codes, <|eoi|> after them


@dataclass(frozen=True)
class MagvitSizes:
    """How large an image tokenizer is; lists go from the full resolution to the lowest one."""

    encoder_channels: list[int] = field(metadata=setting(least=1, most=65_536))
    """Of each resolution; each next one is half as high and wide."""
    encoder_blocks: list[int] = field(metadata=setting(least=0, most=100))
    """Residual blocks of each resolution."""
    decoder_channels: list[int] = field(metadata=setting(least=1, most=65_536))
    """Of each resolution, on the way back to pixels."""
    decoder_blocks: list[int] = field(metadata=setting(least=0, most=100))
    """Residual blocks of each resolution, on the way back to pixels."""
    bits: int = field(metadata=setting(least=1, most=24))
    """Of a code: there are 2 ** bits codes."""
    groups: int = field(metadata=setting(least=1, most=65_536))
    """Of the norms; divides every number of channels."""

    def __post_init__(self) -> None:
        halves = ("encoder_channels", "encoder_blocks", "decoder_channels", "decoder_blocks")
        levels = [len(getattr(self, name)) for name in halves]
        if len(set(levels)) != 1 or levels[0] < 1:
            raise ConfigError(
                f"An image tokenizer's {', '.join(halves)} have {levels} entries; give each list "
                "one entry a resolution."
            )
        channels = [*self.encoder_channels, *self.decoder_channels]
        if self.bits < 1 or self.groups < 1 or any(n < 1 or n % self.groups for n in channels):
            raise ConfigError(
                f"An image tokenizer with {self.bits} bits and channels {channels} in "
                f"{self.groups} groups cannot be; give 1 or more bits and multiples of groups."
            )

    @property
    def cell(self) -> int:
        """Pixels a side that one code stands for."""
        return int(2 ** (len(self.encoder_channels) - 1))

    @property
    def codes(self) -> int:
        """How many different codes there are."""
        return int(2**self.bits)


@dataclass(frozen=True)
class PhiSizes:
    """How large the language model is."""

    layers: int = field(metadata=setting(least=1, most=1000))
    """Decoder layers."""
    width: int = field(metadata=setting(least=1, most=65_536))
    """Of the hidden states."""
    mlp_width: int = field(metadata=setting(least=1, most=10**6))
    """Of the layer inside each MLP."""
    heads: int = field(metadata=setting(least=1, most=1024))
    """Attention heads of a layer."""
    rotary_share: float = field(metadata=setting(above=0, most=1))
    """Of each head's width, how much is turned by the position."""
    positions: int = field(metadata=setting(least=1, most=10**7))
    """Tokens of the longest sequence that it was trained on."""

    def __post_init__(self) -> None:
        turned = self.rotary_share * self.width / max(self.heads, 1)
        if self.heads < 1 or self.width % self.heads or turned % 2 or turned <= 0:
            raise ConfigError(
                f"A language model of width {self.width} with {self.heads} heads of which a share "
                f"of {self.rotary_share} is turned cannot be; give a width that is a multiple of "
                "the heads, and a share that makes an even number of dimensions."
            )


@dataclass(frozen=True)
class ShowoSizes:
    """How large a Show-o is."""

    words: int | None = field(metadata=setting(least=1, most=10**7))
    """Tokens of the text tokenizer; null: as many as a tiny model's own one has."""
    llm: PhiSizes
    """The language model."""
    image: MagvitSizes
    """The image tokenizer."""
