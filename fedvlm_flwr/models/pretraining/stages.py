"""The stages of pretraining a tiny model: its vision part, its language model, then all but one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.pretraining.data import (
    BOX,
    TEXT,
    PublicImage,
    box_text,
    check_mix,
    shift_shapes,
)
from fedvlm_flwr.models.pretraining.fit import fit
from fedvlm_flwr.models.pretraining.recipe import Recipe

Progress = Callable[[int, int, float], None]  # steps done, steps in all, loss of the last one
StepFn = Callable[[int, float], None]  # steps done of a stage, loss of the last one


@dataclass(frozen=True)
class StageExample:
    """A question to learn on one of a batch's images, or on text in its place."""

    image: int  # its number in the batch
    text: str | None  # stands in the image's place; None: the image itself
    question: str
    answer: str


@dataclass(frozen=True)
class PretrainingData:
    """The public images, and what batches are drawn from them with.

    Attributes:
        pixels: of the images, [N, 3, side, side].
        draw: the source of all that is random.
    """

    images: Sequence[PublicImage]
    pixels: Tensor
    recipe: Recipe
    draw: torch.Generator

    def sample(self, pool: Sequence[int], count: int) -> tuple[list[int], Tensor, Tensor]:
        """Images by chance, with replacement, each moved at random.

        Args:
            pool: numbers of the images to draw from.
            count: how many are drawn.

        Returns:
            Their numbers, [count], their pixels after the move, [count, 3, side, side], and their
            shapes' boxes, [count, 4] in fractions.
        """
        picks = torch.randint(len(pool), (count,), generator=self.draw).tolist()
        numbers = [pool[i] for i in picks]
        images = [self.images[i] for i in numbers]
        return numbers, *shift_shapes(self.pixels[numbers], images, self.draw)

    def examples(
        self, numbers: Sequence[int], boxes: Tensor, mix: dict[str, int]
    ) -> list[StageExample]:
        """Examples of each task on a batch's images in turn, their questions by chance.

        Args:
            numbers: the batch's images, [B].
            boxes: where their shapes lie, [B, 4] in fractions.
            mix: examples of each task.
        """
        images = [self.images[i] for i in numbers]
        result: list[StageExample] = []
        for task, count in mix.items():
            pool = [i for i, image in enumerate(images) if image.pairs.get(task)]
            for k in range(count if pool else 0):
                i = pool[k % len(pool)]
                pairs = images[i].pairs[task]
                question, answer = pairs[int(torch.randint(len(pairs), (), generator=self.draw))]
                text = (images[i].caption or "") if task == TEXT else None
                target = box_text(boxes[i]) if task == BOX else answer
                result.append(StageExample(i, text, question, target))
        return result


class Trainee(Protocol):
    """What the stages ask of a tiny model."""

    @property
    def module(self) -> nn.Module:
        """The network."""

    def pixels(self, images: Sequence[Path]) -> Tensor:
        """Images as the vision part sees them, [N, 3, side, side]."""

    def train_vision(self, data: PretrainingData, step: StepFn) -> None:
        """The `vision` stage."""

    def text_parameters(self) -> list[nn.Parameter]:
        """What the `text` stage trains."""

    def language_parameters(self) -> list[nn.Parameter]:
        """What the `language` stage trains."""

    def loss(self, pixels: Tensor, examples: Sequence[StageExample]) -> Tensor:
        """Mean loss over the answer tokens (scalar, with gradient).

        Args:
            pixels: of the batch's images after the move, [B, 3, side, side].
            examples: what is asked about them; their number need not be B.
        """


def run_stages(
    trainee: Trainee, images: Sequence[PublicImage], recipe: Recipe, progress: Progress | None
) -> None:
    """Train all weights in place; on one machine the same seed gives the same weights.

    Every image is moved at random each time it is seen (and its box with it), or a few thousand of
    them would be learnt by heart.

    Raises:
        DataError: the mix asks for a task of which no image has an example.
        ModelError: training has diverged.
    """
    check_mix({TEXT: 1, **recipe.mix}, images)
    total = sum(stage.steps for stage in (recipe.vision, recipe.text, recipe.language))
    draw = torch.Generator().manual_seed(recipe.seed)
    pixels = torch.cat([trainee.pixels([image.path]) for image in images])  # [N, 3, side, side]
    data = PretrainingData(images, pixels, recipe, draw)

    def report(before: int) -> StepFn:
        return lambda steps, loss: progress(before + steps, total, loss) if progress else None

    def batch_loss(count: int, mix: dict[str, int]) -> Tensor:
        numbers, batch, boxes = data.sample(range(len(images)), count)
        return trainee.loss(batch, data.examples(numbers, boxes, mix))

    trainee.module.train()
    trainee.train_vision(data, report(0))
    count = recipe.text.pictures
    fit(
        trainee.text_parameters(),
        lambda: batch_loss(count, {TEXT: count}),
        recipe.text,
        report(recipe.vision.steps),
    )
    fit(
        trainee.language_parameters(),
        lambda: batch_loss(recipe.language.pictures, recipe.mix),
        recipe.language,
        report(recipe.vision.steps + recipe.text.steps),
    )
    trainee.module.eval()
    require_finite(trainee.module)


def require_finite(module: nn.Module) -> None:
    """Refuse weights that training has led astray, before they are kept as a base model.

    Raises:
        ModelError: a tensor holds NaN or infinity; names it.
    """
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ModelError(
                f"Pretraining has diverged: '{name}' holds NaN or Inf; lower the lr of "
                "model.tiny.pretrain's stages."
            )
