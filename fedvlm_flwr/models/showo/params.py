"""The settings of the kind `showo`."""

from dataclasses import dataclass, field

from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.pretraining.recipe import Public, ShowoRecipe
from fedvlm_flwr.models.showo.sizes import MARKS, ShowoSizes
from fedvlm_flwr.settings import setting


@dataclass(frozen=True)
class Tiny:
    """How a small network is taught."""

    pretrain: ShowoRecipe
    """The phases of its pretraining."""
    public: Public
    """What it is pretrained on."""


@dataclass(frozen=True, kw_only=True)
class Params(Loading):
    """The keys of a model YAML of this kind; exactly one of `checkpoint` and `tiny` is given."""

    template: str
    """The prompt around {question}, after the picture."""
    resolution: int = field(metadata=setting(least=1, most=4096))
    """Pixels a side of the pictures."""
    sizes: ShowoSizes
    """How large the network is."""
    follow_up: str | None = None
    """What stands around a further question of a conversation, behind the answer before it, with
    {question} and beginning with the token that ends an answer; null: prompts are of one question.
    """
    checkpoint: str | None = field(default=None, metadata=setting(path=True))
    """Show-o's weights: a local folder or a hub id; null: a tiny model."""
    image_tokenizer: str | None = field(default=None, metadata=setting(path=True))
    """MAGVIT-v2's weights: a local folder, a file or a hub id; null: a tiny model's own."""
    text_tokenizer: str | None = field(default=None, metadata=setting(path=True))
    """Phi's tokenizer: a local folder or a hub id; null: a tiny model's own."""
    tiny: Tiny | None = None
    """A small network that is pretrained here; null: the checkpoint's."""

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.tiny is None):
            raise ConfigError(
                "Set exactly one of model.checkpoint (a folder or hub id) and model.tiny, the "
                "other to null."
            )
        needed = {
            "image_tokenizer": self.image_tokenizer,
            "text_tokenizer": self.text_tokenizer,
            "sizes.words": self.sizes.words,
        }
        for key, value in needed.items():
            if self.checkpoint is not None and value is None:
                raise ConfigError(f"model.checkpoint={self.checkpoint} needs model.{key}; set it.")
        if self.attention == "flash_attention_2":
            raise ConfigError(
                "model.attention=flash_attention_2 cannot compute Show-o's mask, where words see "
                "the whole picture; use auto or sdpa."
            )
        cell = self.sizes.image.cell
        if self.resolution < cell or self.resolution % cell:
            raise ConfigError(
                f"model.resolution={self.resolution} must be a multiple of {cell}, the pixels a "
                "side of one image token."
            )
        length = self.tokens + MARKS + self.max_text_tokens
        if length > self.sizes.llm.positions:
            raise ConfigError(
                f"A picture's {self.tokens + MARKS} places and model.max_text_tokens="
                f"{self.max_text_tokens} are more than the {self.sizes.llm.positions} positions "
                "that the language model knows; lower max_text_tokens."
            )

    @property
    def tokens(self) -> int:
        """Codes of a picture."""
        return (self.resolution // self.sizes.image.cell) ** 2

    @property
    def implementation(self) -> str:
        """Of attention: flash attention knows no such mask, so `auto` is SDPA."""
        return "sdpa" if self.attention == "auto" else self.attention
