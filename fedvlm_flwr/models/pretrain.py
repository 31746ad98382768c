"""Teach a tiny model to see, then to speak and to read, on public pictures and on text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.base import Encoded
from fedvlm_flwr.models.curriculum import (
    BOX,
    TEXT,
    Picture,
    box_text,
    check_mix,
    shifted,
    sources,
)
from fedvlm_flwr.models.fitting import Schedule, fit
from fedvlm_flwr.models.llava import Llava
from fedvlm_flwr.models.vision_start import start_vision

PLACES = 101  # the numbers 0.00 to 1.00
Progress = Callable[[int, int, float], None]  # steps done, steps in all, loss of the last one


@dataclass(frozen=True)
class Recipe:
    """How a tiny model is pretrained, in three phases.

    `vision` trains the vision tower alone: two linear heads, thrown away afterwards, name the
    words of the caption and the place of the shape. `text` trains the language model alone on
    public questions with the caption in words in the picture's place: the logic of questions is
    learnt many times faster there. `language` trains connector and language model by next tokens
    on the frozen tower, as LLaVA's own pretraining does; `mix` is its number of rows of each task
    in a batch, `text` among them.
    """

    seed: int
    threads: int  # of torch: sums over threads round differently
    vision: Schedule
    box_weight: float  # of the box's cross-entropy beside the caption words'
    text: Schedule
    language: Schedule
    mix: dict[str, int]

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"tiny.pretrain.threads={self.threads} must be 1 or more.")
        if not any(self.mix.values()) or min(self.mix.values()) < 0:
            raise ConfigError("The pretraining mix needs counts of 0 or more, one above 0.")


def pretrain(
    model: Llava, pictures: Sequence[Picture], recipe: Recipe, progress: Progress | None = None
) -> None:
    """Train all weights of `model` in place; on one machine the same seed gives the same weights.

    Every picture is moved at random each time it is seen (and its box with it), or a few
    thousand of them would be learnt by heart.
    """
    check_mix({TEXT: 1, **recipe.mix}, pictures)
    total = recipe.vision.steps + recipe.text.steps + recipe.language.steps
    draw = torch.Generator().manual_seed(recipe.seed)
    pixels = torch.cat([model.pixels([picture.path]) for picture in pictures])  # [N, 3, S, S]

    def report(before: int) -> Callable[[int, float], None]:
        return lambda done, loss: progress(before + done, total, loss) if progress else None

    model.module.train()
    learn_to_see(model, pictures, pixels, (recipe, draw), report(0))

    def batch_loss(count: int, mix: dict[str, int]) -> Tensor:
        chosen = torch.randint(len(pictures), (count,), generator=draw).tolist()
        return rows_loss(model, pixels[chosen], [pictures[i] for i in chosen], mix, draw)

    words_only = [*model.llm.parameters(), *model.head.parameters()]
    count = recipe.text.pictures
    fit(
        words_only,
        lambda: batch_loss(count, {TEXT: count}),
        recipe.text,
        report(recipe.vision.steps),
    )
    fit(
        [*model.connector.parameters(), *words_only],
        lambda: batch_loss(recipe.language.pictures, recipe.mix),
        recipe.language,
        report(recipe.vision.steps + recipe.text.steps),
    )
    model.module.eval()


def learn_to_see(
    model: Llava,
    pictures: Sequence[Picture],
    pixels: Tensor,
    how: tuple[Recipe, torch.Generator],
    progress: Callable[[int, float], None],
) -> None:
    """Train the vision tower to tell caption words and box by its tokens."""
    recipe, draw = how
    tower = model.vision
    start_vision(tower.embeddings, pixels)
    able = [i for i, picture in enumerate(pictures) if picture.caption and picture.box]
    hot = torch.zeros(len(pictures), len(model.tokenizer))  # the words of each caption
    for i in able:
        hot[i, model.tokenizer(pictures[i].caption, add_special_tokens=False)["input_ids"]] = 1
    said = hot.any(0) & ~hot[able].all(0)  # a word of every caption tells nothing
    width = tower.config.hidden_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        heads = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, int(said.sum()) + 4 * PLACES))

    def step_loss() -> Tensor:
        picks = torch.randint(len(able), (recipe.vision.pictures,), generator=draw).tolist()
        chosen = [able[i] for i in picks]
        moved, boxes = shifted(pixels[chosen], [pictures[i] for i in chosen], draw)
        out = heads(model.encode_pixels(moved)).mean(1)  # [B, 4 * PLACES + words]
        words = -(hot[chosen][:, said] * out[:, 4 * PLACES :].log_softmax(1)).sum(1)
        # As choices between two-decimal numbers, which is how the language model will say them: a
        # tower taught by the distance instead tells the box in a form it does not learn to read.
        numbers = F.cross_entropy(
            out[:, : 4 * PLACES].reshape(-1, PLACES), (boxes.flatten() * 100).round().long()
        )
        loss: Tensor = words.mean() + recipe.box_weight * numbers
        return loss

    fit([*tower.parameters(), *heads.parameters()], step_loss, recipe.vision, progress)


def rows_loss(
    model: Llava,
    pixels: Tensor,
    pictures: Sequence[Picture],
    mix: dict[str, int],
    draw: torch.Generator,
) -> Tensor:
    """Mean loss over the answer tokens of one batch on `pictures`, moved at random."""
    moved, boxes = shifted(pixels, pictures, draw)
    rows: list[Encoded] = []
    owners: list[int] = []  # which picture each row with a picture is about
    for task, count in mix.items():
        able = [i for i, picture in enumerate(pictures) if sources(picture, task)]
        for k in range(count if able else 0):
            i = able[k % len(able)]
            pairs = sources(pictures[i], task)
            question, answer = pairs[int(torch.randint(len(pairs), (), generator=draw))]
            if task == TEXT:
                rows.append(model.encode_text(pictures[i].caption or "", question, answer))
                continue
            rows.append(model.encode(question, box_text(boxes[i]) if task == BOX else answer))
            owners.append(i)
    if not owners:
        return model.answer_loss(torch.zeros(0, 1, model.llm.config.hidden_size), rows).mean()
    with torch.no_grad():
        features = model.encode_pixels(moved)
    image = model.connect(features).index_select(0, torch.tensor(owners))
    return model.answer_loss(image, rows).mean()
