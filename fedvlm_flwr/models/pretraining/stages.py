"""How any tiny model is taught: to see, then to read, then to speak of pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from fedvlm_flwr.models.pretraining.data import (
    BOX,
    TEXT,
    Picture,
    box_text,
    check_mix,
    shifted,
    sources,
)
from fedvlm_flwr.models.pretraining.fit import fit
from fedvlm_flwr.models.pretraining.recipe import Recipe

Progress = Callable[[int, int, float], None]  # steps done, steps in all, loss of the last one
Done = Callable[[int, float], None]  # steps done of a phase, loss of the last one


@dataclass(frozen=True)
class Row:
    """A question to learn on one of a batch's pictures, or on words in its place."""

    picture: int  # its number in the batch
    words: str | None  # stand in the picture's place; None: the picture itself
    question: str
    answer: str


@dataclass(frozen=True)
class Material:
    """The public pictures, their pixels [N, 3, side, side], and the source of all that is drawn."""

    pictures: Sequence[Picture]
    pixels: Tensor
    recipe: Recipe
    draw: torch.Generator

    def some(self, able: Sequence[int], count: int) -> tuple[list[int], Tensor, Tensor]:
        """Pictures by chance, moved at random: numbers [count], moved pixels, and their boxes."""
        picks = torch.randint(len(able), (count,), generator=self.draw).tolist()
        chosen = [able[i] for i in picks]
        return chosen, *shifted(self.pixels[chosen], [self.pictures[i] for i in chosen], self.draw)

    def rows(self, chosen: Sequence[int], boxes: Tensor, mix: dict[str, int]) -> list[Row]:
        """Rows of each task on the chosen pictures in turn, their questions by chance."""
        pictures = [self.pictures[i] for i in chosen]
        rows: list[Row] = []
        for task, count in mix.items():
            able = [i for i, picture in enumerate(pictures) if sources(picture, task)]
            for k in range(count if able else 0):
                i = able[k % len(able)]
                pairs = sources(pictures[i], task)
                question, answer = pairs[int(torch.randint(len(pairs), (), generator=self.draw))]
                words = (pictures[i].caption or "") if task == TEXT else None
                said = box_text(boxes[i]) if task == BOX else answer
                rows.append(Row(i, words, question, said))
        return rows


class Pupil(Protocol):
    """What teaching asks of a tiny model."""

    @property
    def module(self) -> nn.Module:
        """The network."""

    def pixels(self, images: Sequence[Path]) -> Tensor:
        """Pictures as the vision part sees them, [N, 3, side, side]."""

    def learn_to_see(self, material: Material, done: Done) -> None:
        """The `vision` phase."""

    def readers(self) -> list[nn.Parameter]:
        """What the `text` phase trains."""

    def speakers(self) -> list[nn.Parameter]:
        """What the `language` phase trains."""

    def rows_loss(self, pixels: Tensor, rows: Sequence[Row]) -> Tensor:
        """Mean loss over the answer tokens of rows on [N, 3, side, side], the moved pictures."""


def teach(
    pupil: Pupil, pictures: Sequence[Picture], recipe: Recipe, progress: Progress | None
) -> None:
    """Train all weights in place; on one machine the same seed gives the same weights.

    Every picture is moved at random each time it is seen (and its box with it), or a few
    thousand of them would be learnt by heart.
    """
    check_mix({TEXT: 1, **recipe.mix}, pictures)
    phases = (recipe.vision, recipe.text, recipe.language)
    total = sum(phase.steps for phase in phases)
    draw = torch.Generator().manual_seed(recipe.seed)
    pixels = torch.cat([pupil.pixels([picture.path]) for picture in pictures])
    material = Material(pictures, pixels, recipe, draw)

    def report(before: int) -> Done:
        return lambda done, loss: progress(before + done, total, loss) if progress else None

    def batch_loss(count: int, mix: dict[str, int]) -> Tensor:
        chosen, moved, boxes = material.some(range(len(pictures)), count)
        return pupil.rows_loss(moved, material.rows(chosen, boxes, mix))

    pupil.module.train()
    pupil.learn_to_see(material, report(0))
    count = recipe.text.pictures
    fit(
        pupil.readers(),
        lambda: batch_loss(count, {TEXT: count}),
        recipe.text,
        report(recipe.vision.steps),
    )
    fit(
        pupil.speakers(),
        lambda: batch_loss(recipe.language.pictures, recipe.mix),
        recipe.language,
        report(recipe.vision.steps + recipe.text.steps),
    )
    pupil.module.eval()
