"""How a tiny model is pretrained: the settings of its phases, and its public data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import setting

if TYPE_CHECKING:
    from fedvlm_flwr.config import Choice


@dataclass(frozen=True)
class Schedule:
    """AdamW for a fixed number of steps; a fixed number, not a time, so that a seed decides all."""

    steps: int
    """Optimizer steps."""
    warmup: int
    """Steps of rising learning rate."""
    lr: float
    """Learning rate at its peak, after the warm-up; it falls to a hundredth by half a cosine."""
    weight_decay: float
    """AdamW's, for each step, times the learning rate."""
    max_grad_norm: float
    """Largest L2 norm of a step's gradient, which is scaled down to it."""
    pictures: int
    """Images in a batch."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.pictures < 1 or self.warmup < 0:
            raise ConfigError(
                "A pretraining phase needs 1 or more steps and pictures and no negative warmup; "
                f"it has {self.steps}, {self.pictures} and {self.warmup}."
            )
        if self.lr <= 0 or self.max_grad_norm <= 0 or self.weight_decay < 0:
            raise ConfigError(
                "A pretraining phase needs lr and max_grad_norm above 0 and no negative "
                f"weight_decay; it has {self.lr}, {self.max_grad_norm} and {self.weight_decay}."
            )


@dataclass(frozen=True)
class Recipe:
    """How a tiny model is pretrained, in three phases.

    `vision` trains the vision part alone: two linear heads, thrown away afterwards, name the words
    of the caption and the place of the shape. `text` trains the language model alone on public
    questions with the caption in words in the picture's place: the logic of questions is learnt
    many times faster there. `language` trains all but the vision part by next tokens on the frozen
    vision part, as such models are pretrained.
    """

    seed: int
    """Of first weights and of all that is drawn."""
    threads: int
    """CPU threads of torch: sums over threads round differently."""
    vision: Schedule
    """The vision part alone."""
    box_weight: float
    """Of the box's cross-entropy beside the caption words'."""
    text: Schedule
    """The language model alone."""
    language: Schedule
    """All but the vision part."""
    mix: dict[str, int]
    """Rows of each task in a batch of `language`, `text` among them."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"tiny.pretrain.threads={self.threads} must be 1 or more.")
        if not any(self.mix.values()) or min(self.mix.values()) < 0:
            raise ConfigError("The pretraining mix needs counts of 0 or more, one above 0.")


@dataclass(frozen=True, kw_only=True)
class ShowoRecipe(Recipe):
    """The vision phase teaches the image tokenizer to redraw pictures, beside caption and box.

    With caption and box alone its codes are slow to tell where the shape is; with pixels alone
    nothing asks them for what the questions are about.
    """

    redrawn: int
    """Images of a batch that are decoded again."""
    pixel_weight: float
    """Of their mean squared error beside the caption words' cross-entropy."""
    spread_weight: float
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
