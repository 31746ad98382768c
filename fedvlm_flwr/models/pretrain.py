"""Teach a tiny model to see and to read, on public pictures and on text, before any federation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.base import Encoded
from fedvlm_flwr.models.curriculum import BOX, TEXT, Picture, check_mix, shifted
from fedvlm_flwr.models.llava import Llava

Progress = Callable[[int, int, float], None]  # steps done, steps in all, loss of the last one


@dataclass(frozen=True)
class Recipe:
    """How a tiny model is pretrained.

    `mix` is the number of rows of each task in a batch; `text` rows are public questions with the
    picture's caption in words in the picture's place, and teach the logic of questions.
    """

    seed: int
    steps: int
    warmup: int  # steps of rising learning rate
    lr: float
    weight_decay: float
    max_grad_norm: float
    pictures: int  # in a batch; the rows of every task go round them
    mix: dict[str, int]

    def __post_init__(self) -> None:
        if self.steps < 1 or self.pictures < 1 or self.warmup < 0 or self.lr <= 0:
            raise ConfigError(
                "Pretraining needs steps and pictures of 1 or more, warmup of 0 or more, lr above 0."
            )
        if not any(self.mix.values()) or min(self.mix.values()) < 0:
            raise ConfigError("The pretraining mix needs counts of 0 or more, one above 0.")


def pretrain(
    model: Llava, pictures: Sequence[Picture], recipe: Recipe, progress: Progress | None = None
) -> None:
    """Train all weights of `model` in place for `recipe.steps` steps; the same seed, the same end.

    Every picture is moved at random each time it is seen (and its box with it), or a few
    thousand of them would be learnt by heart.
    """
    check_mix(recipe.mix, pictures)
    draw = torch.Generator().manual_seed(recipe.seed)
    pixels = torch.cat([model.pixels([picture.path]) for picture in pictures])  # [N, 3, S, S]
    optimizer = torch.optim.AdamW(
        model.module.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    model.module.train()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * rate(step, recipe)
        chosen = torch.randint(len(pictures), (recipe.pictures,), generator=draw).tolist()
        loss = step_loss(model, pixels[chosen], [pictures[i] for i in chosen], recipe, draw)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.module.parameters(), recipe.max_grad_norm)
        optimizer.step()
        if progress is not None:
            progress(step + 1, recipe.steps, loss.item())
    model.module.eval()


def rate(step: int, recipe: Recipe) -> float:
    """The learning rate's share of its peak: a linear rise, then half a cosine to nearly nothing."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def step_loss(
    model: Llava,
    pixels: Tensor,
    pictures: Sequence[Picture],
    recipe: Recipe,
    draw: torch.Generator,
) -> Tensor:
    """Mean loss over the answer tokens of one batch on `pictures`, moved at random."""
    pixels, boxes = shifted(pixels, pictures, draw)
    rows: list[Encoded] = []
    owners: list[int] = []  # which picture each row with a picture is about
    for task, count in recipe.mix.items():
        able = [i for i, picture in enumerate(pictures) if row_source(picture, task)]
        for k in range(count if able else 0):
            i = able[k % len(able)]
            source = row_source(pictures[i], task)
            question, answer = source[int(torch.randint(len(source), (), generator=draw))]
            if task == TEXT:
                rows.append(model.encode_text(pictures[i].caption or "", question, answer))
                continue
            moved = boxes[i] if task == BOX else None
            rows.append(model.encode(question, moved or answer))
            owners.append(i)
    image = model.connect(model.encode_pixels(pixels))[owners]
    return model.answer_loss(image, rows).mean()


def row_source(picture: Picture, task: str) -> list[tuple[str, str]]:
    """The questions and answers from which a picture's rows of a task are drawn."""
    if task != TEXT:
        return picture.asked.get(task, [])
    return picture.asked.get("vqa", []) if picture.caption else []
