"""The settings of the kind `llava`."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.pretraining.recipe import Public, Recipe
from fedvlm_flwr.settings import SEEDS, setting

NAME = re.compile(r"linear|mlp([2-9])x_gelu")


def depth(name: str) -> int:
    """How many linear layers a connector has: `linear` one, `mlp6x_gelu` six with GELU between.

    Raises:
        ConfigError: no such connector.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ConfigError(
            f"Unknown model.connector '{name}'; choose one of: linear, mlp2x_gelu, mlp6x_gelu "
            "(any number of layers from 2 to 9)."
        )
    return int(match[1] or 1)


@dataclass(frozen=True)
class Sizes:
    """How large the network is; widths must be multiples of their numbers of heads."""

    image_size: int = field(metadata=setting(least=1, most=4096))
    """Pixels a side of an image."""
    patch_size: int = field(metadata=setting(least=1, most=4096))
    """Pixels a side of a patch; each patch is one image token."""
    image_mean: float = field(metadata=setting(least=0, most=1))
    """Subtracted from pixel values in 0..1."""
    image_std: float = field(metadata=setting(least=1e-3, most=10))
    """What pixel values are then divided by."""
    vision_width: int = field(metadata=setting(least=1, most=65_536))
    """Of the vision tower's hidden states."""
    vision_layers: int = field(metadata=setting(least=1, most=1000))
    """Of the vision tower; the last is not used: features come from the layer before it."""
    vision_heads: int = field(metadata=setting(least=1, most=1024))
    """Attention heads of a layer of the vision tower."""
    llm_width: int = field(metadata=setting(least=1, most=65_536))
    """Of the language model's hidden states."""
    llm_layers: int = field(metadata=setting(least=1, most=1000))
    """Decoder layers of the language model."""
    llm_heads: int = field(metadata=setting(least=1, most=1024))
    """Attention heads of a layer of the language model."""
    llm_mlp_width: int = field(metadata=setting(least=1, most=10**6))
    """Of the layer inside each MLP of the language model."""

    def __post_init__(self) -> None:
        multiples = {
            "image_size": ("patch_size", self.patch_size),
            "vision_width": ("vision_heads", self.vision_heads),
            "llm_width": ("llm_heads, doubled", 2 * self.llm_heads),  # positions turn pairs
        }
        for key, (of, number) in multiples.items():
            if getattr(self, key) % number:
                raise ConfigError(
                    f"model.tiny.sizes.{key}={getattr(self, key)} must be a multiple of {number} "
                    f"({of}); change one of the two."
                )


@dataclass(frozen=True)
class Tiny:
    """A small network and the way it is taught."""

    sizes: Sizes
    """How large the network is."""
    pretrain: Recipe
    """The phases of its pretraining."""
    public: Public
    """What it is pretrained on."""


@dataclass(frozen=True, kw_only=True)
class ConnectorStart:
    """A connector that was not pretrained with the model, and how it begins.

    Attributes:
        connector: its name, see `depth`.
        connector_weights: a safetensors file of a trained connector; None: random from the seed.
    """

    connector: str
    connector_weights: str | None
    connector_seed: int


@dataclass(frozen=True, kw_only=True)
class Assembly(ConnectorStart):
    """What a LLaVA is put together from.

    Attributes:
        image_token: a token of the LLM's tokenizer that stands for a picture, or None: `<image>` is
            added to the tokenizer (and to nothing else: no embedding table is resized).
    """

    vision: str
    llm: str
    vision_feature_layer: int
    vision_feature_select_strategy: str
    image_token: str | None


@dataclass(frozen=True, kw_only=True)
class Params(Loading):
    """The keys of a model YAML of this kind.

    Exactly one of `checkpoint`, `tiny`, and `vision` with `llm` is given.
    """

    template: str | None
    """The prompt around {question}, with <image> in the image's place; null: the chat template of
    the language model's tokenizer, or `plain_template` where it has none."""
    plain_template: str | None = None
    """The prompt for a language model without a chat template; null: `template` must be set."""
    follow_up: str | None = None
    """What stands around a further question of a conversation, behind the answer before it, with
    {question} and beginning with the token that ends an answer; null: what a chat template writes,
    of another prompt nothing, which is one for single questions."""
    image_token: str | None = None
    """The tokenizer's token for a picture; null: <image>, added where it is not known."""
    checkpoint: str | None = field(default=None, metadata=setting(path=True))
    """A whole LLaVA: a local folder or a hub id; null: another way is chosen."""
    tiny: Tiny | None = None
    """A small network that is pretrained here; null: another way is chosen."""
    vision: str | None = field(default=None, metadata=setting(path=True))
    """A CLIP or SigLIP checkpoint, or another vision tower that transformers loads; null: none."""
    llm: str | None = field(default=None, metadata=setting(path=True))
    """A causal language model: a folder, a hub id or a GGUF file; null: none."""
    connector: str | None = None
    """Between the two, starting anew: linear, or mlp2x_gelu to mlp9x_gelu by its linear layers;
    null: the connector that a checkpoint has, or that `tiny` is pretrained with."""
    connector_weights: str | None = field(default=None, metadata=setting(path=True))
    """A safetensors file of a trained `connector`; null: random from the seed."""
    connector_seed: int = field(default=0, metadata=setting(least=0, most=SEEDS))
    """Of a random `connector`."""
    vision_feature_layer: int = field(default=-2, metadata=setting(least=-1000, most=1000))
    """The vision tower's layer whose outputs are the features; negative: from the end."""
    vision_feature_select_strategy: str = field(
        default="default", metadata=setting(choices=("default", "full"))
    )
    """default: without the class token; full: with it."""
    architectures: dict[str, dict[str, Any]] = field(
        default_factory=dict, metadata=setting(least=0, most=1e9)
    )
    """Sizes by hub id, for counting without the weights at hand."""

    def __post_init__(self) -> None:
        ways = [self.checkpoint is not None, self.tiny is not None]
        ways.append(self.vision is not None or self.llm is not None)
        if sum(ways) != 1:
            raise ConfigError(
                "Set exactly one of model.checkpoint (a folder or hub id), model.tiny, and "
                "model.vision with model.llm; set the others to null."
            )
        if self.tiny is not None and self.template is None:
            raise ConfigError(
                "model.template=null, but a network that is pretrained here has no chat template; "
                "write its prompt."
            )
        if ways[2] and (self.vision is None or self.llm is None or self.connector is None):
            raise ConfigError(
                f"model.vision={self.vision}, model.llm={self.llm} and model.connector="
                f"{self.connector} go together; set all three."
            )
        if self.connector is not None:
            depth(self.connector)
            if self.checkpoint is not None:
                raise ConfigError(
                    f"model.connector={self.connector}, but model.checkpoint={self.checkpoint} has "
                    "a connector of its own; set model.connector=null."
                )
        elif self.connector_weights is not None:
            raise ConfigError(
                f"model.connector_weights={self.connector_weights} goes with model.connector; name "
                "the connector that they are of."
            )

    @property
    def prompt(self) -> str:
        """The template of a network that is pretrained here, whose tokenizer has no other."""
        assert self.template is not None
        return self.template

    @property
    def connector_start(self) -> ConnectorStart | None:
        """The connector that starts anew; None: it is the checkpoint's or the pretrained one."""
        if self.connector is None:
            return None
        return ConnectorStart(
            connector=self.connector,
            connector_weights=self.connector_weights,
            connector_seed=self.connector_seed,
        )

    @property
    def assembly(self) -> Assembly:
        """What the model is put together from, where it is."""
        assert self.vision is not None and self.llm is not None and self.connector_start is not None
        return Assembly(
            **asdict(self.connector_start),
            vision=self.vision,
            llm=self.llm,
            vision_feature_layer=self.vision_feature_layer,
            vision_feature_select_strategy=self.vision_feature_select_strategy,
            image_token=self.image_token,
        )
