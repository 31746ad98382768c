"""How a tiny model is pretrained: the settings of its phases, and its public data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import SEEDS, setting

if TYPE_CHECKING:
    from fedvlm_flwr.config import Choice


@dataclass(frozen=True)
class Schedule:
    """AdamW for a fixed number of steps; a fixed number, not a time, so that a seed decides all."""

    steps: int = field(metadata=setting(least=1, most=10**7))
    """Optimizer steps."""
    warmup: int = field(metadata=setting(least=0, most=10**7))
    """Steps of rising learning rate."""
    lr: float = field(metadata=setting(above=0, most=1000))
    """Learning rate at its peak, after the warm-up; it falls to a hundredth by half a cosine."""
    weight_decay: float = field(metadata=setting(least=0, most=1000))
    """AdamW's, for each step, times the learning rate."""
    max_grad_norm: float = field(metadata=setting(above=0, most=1e9))
    """Largest L2 norm of a step's gradient, which is scaled down to it."""
    pictures: int = field(metadata=setting(least=1, most=65_536))
    """Images in a batch."""


@dataclass(frozen=True)
class Recipe:
    """How a tiny model is pretrained, in three phases.

    `vision` trains the vision part alone: two linear heads, thrown away afterwards, name the words
    of the caption and the place of the shape. `text` trains the language model alone on public
    questions with the caption in words in the picture's place: the logic of questions is learnt
    many times faster there. `language` trains all but the vision part by next tokens on the frozen
    vision part, as such models are pretrained.
    """

    seed: int = field(metadata=setting(least=0, most=SEEDS))
    """Of first weights and of all that is drawn."""
    threads: int = field(metadata=setting(least=1, most=1024))
    """CPU threads of torch: sums over threads round differently."""
    vision: Schedule
    """The vision part alone."""
    box_weight: float = field(metadata=setting(least=0, most=1e6))
    """Of the box's cross-entropy beside the caption words'."""
    text: Schedule
    """The language model alone."""
    language: Schedule
    """All but the vision part."""
    mix: dict[str, int] = field(metadata=setting(least=0, most=65_536))
    """Rows of each task in a batch of `language`, `text` among them."""

    def __post_init__(self) -> None:
        if not any(self.mix.values()):
            raise ConfigError(
                f"tiny.pretrain.mix={self.mix} has no row in a batch; give a task more than 0."
            )


@dataclass(frozen=True, kw_only=True)
class ShowoRecipe(Recipe):
    """The vision phase teaches the image tokenizer to redraw pictures, beside caption and box.

    With caption and box alone its codes are slow to tell where the shape is; with pixels alone
    nothing asks them for what the questions are about.
    """

    redrawn: int = field(metadata=setting(least=1, most=65_536))
    """Images of a batch that are decoded again."""
    pixel_weight: float = field(metadata=setting(least=0, most=1e6))
    """Of their mean squared error beside the caption words' cross-entropy."""
    spread_weight: float = field(metadata=setting(least=0, most=1e6))
    """Of what the bits of a code have in common."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.redrawn <= self.vision.pictures:
            raise ConfigError(
                f"tiny.pretrain.redrawn={self.redrawn} must lie between 1 and the "
                f"{self.vision.pictures} pictures of a batch of the vision phase."
            )


@dataclass(frozen=True)
class Public:
    """The dataset whose public images a tiny model is pretrained on."""

    name: str
    """A module of `fedvlm_flwr.data.sets`."""
    params: dict[str, Any] = field(default_factory=dict, metadata=setting(path=True))
    """The keys of that dataset, those without a default at least."""

    def __post_init__(self) -> None:
        _ = self.dataset  # refuses its keys where the configuration is composed

    @property
    def dataset(self) -> Choice[Any]:
        """The dataset as a choice.

        Raises:
            ConfigError: it is unknown, or a key or a value does not fit.
        """
        from fedvlm_flwr.config.choice import make_choice  # imports the kinds' settings itself

        values = {**self.params, "name": self.name, "kind": self.name}
        return make_choice("dataset", values, "model.tiny.public.params")
