"""Pretraining data of a tiny model: public images by task, and text in their place."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from fedvlm_flwr.errors import DataError

WORD = re.compile(r"\w+")
FRACTION = re.compile(r"\d\.\d\d")
CAPTION, BOX, VQA, TEXT = "captioning", "detection", "vqa", "text"

QuestionAnswer = tuple[str, str]


class Record(Protocol):
    """A question on an image and its answer, as the datasets give them."""

    @property
    def image(self) -> Path:
        """The image's file."""

    @property
    def question(self) -> str:
        """The question."""

    @property
    def answer(self) -> str:
        """The answer."""

    @property
    def task(self) -> str:
        """The task's name."""


@dataclass
class PublicImage:
    """One public image with its questions and answers by task."""

    path: Path
    pairs: dict[str, list[QuestionAnswer]] = field(default_factory=dict)

    @property
    def caption(self) -> str | None:
        """What the image shows, in words."""
        pairs = self.pairs.get(CAPTION)
        return pairs[0][1] if pairs else None

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """Left, top, width and height of the shape as fractions of the image.

        Raises:
            DataError: the answer is not four two-decimal fractions; names the image.
        """
        pairs = self.pairs.get(BOX)
        if not pairs:
            return None
        numbers = [float(number) for number in FRACTION.findall(pairs[0][1])]
        if len(numbers) != 4:
            raise DataError(
                f"The box {pairs[0][1]!r} of {self.path} is not four two-decimal fractions."
            )
        return (numbers[0], numbers[1], numbers[2], numbers[3])


def by_image(records: Iterable[Record]) -> list[PublicImage]:
    """The records gathered by image, in the order of their first appearance.

    What is asked about any image of a caption can be asked about the caption itself (`text`).
    """
    images: dict[Path, PublicImage] = {}
    for record in records:
        image = images.setdefault(record.image, PublicImage(record.image))
        image.pairs.setdefault(record.task, []).append((record.question, record.answer))
    with_caption = [image for image in images.values() if image.caption]
    pairs: dict[str, list[QuestionAnswer]] = {}
    for image in with_caption:
        pairs.setdefault(image.caption or "", []).extend(image.pairs.get(VQA, []))
    common = set.intersection(*(set(caption.split()) for caption in pairs)) if pairs else set()
    balanced = {caption: balance(own, caption, common) for caption, own in pairs.items()}
    for image in with_caption:
        image.pairs[TEXT] = image.pairs[VQA] = balanced[image.caption or ""]
    return list(images.values())


def balance(
    pairs: Iterable[QuestionAnswer], caption: str, common: set[str]
) -> list[QuestionAnswer]:
    """The distinct pairs, those whose question shares a word with the caption about half of them.

    Few questions happen to name what the image shows, so that without this a model does well by
    answering "no" to "is there ...?" and "yes" to "is there no ...?", and learns to compare late.

    Args:
        pairs: questions and answers about images with this caption.
        caption: what these images show.
        common: words of every caption, which do not count.
    """
    telling = set(caption.split()) - common
    distinct = sorted(set(pairs))
    about = [pair for pair in distinct if telling & set(WORD.findall(pair[0]))]
    other = [pair for pair in distinct if not telling & set(WORD.findall(pair[0]))]
    return about * max(1, round(len(other) / max(len(about), 1))) + other


def shift_shapes(
    pixels: Tensor, images: Sequence[PublicImage], draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images moved at random so far as their shape stays inside, and the boxes after the move.

    What comes into view gets the border's median color; an image without a box stays put.

    Args:
        pixels: [N, 3, side, side].
        images: the N images, for their boxes.
        draw: source of the moves.

    Returns:
        The pixels after the move, [N, 3, side, side], and the boxes after the move, [N, 4] in
        fractions (zeros without a box).
    """
    side = pixels.shape[-1]
    moves, boxes = [], []
    for image in images:
        box = image.box
        if box is None:
            moves.append((0, 0))
            boxes.append([0.0] * 4)
            continue
        left, top, width, height = (round(value * side) for value in box)
        x, y = (
            int(torch.randint(0, max(side - size, 0) + 1, (), generator=draw))
            for size in (width, height)
        )
        moves.append((x - left, y - top))
        boxes.append([value / side for value in (x, y, width, height)])
    return _shift(pixels, torch.tensor(moves)), torch.tensor(boxes)


def _shift(pixels: Tensor, moves: Tensor) -> Tensor:
    """Pixels [N, 3, side, side] moved right and down by `moves`, [N, 2] in pixels."""
    side = pixels.shape[-1]
    dx, dy = moves.unbind(1)
    place = torch.arange(side)
    rows, columns = place - dy[:, None], place - dx[:, None]  # [N, side]: where each comes from
    n = torch.arange(len(pixels))[:, None, None]
    result = pixels.permute(0, 2, 3, 1)[
        n, rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None, :]
    ]  # [N, side, side, 3]
    visible = inside(rows, side)[:, :, None] & inside(columns, side)[:, None, :]  # [N, side, side]
    result = torch.where(visible[..., None], result, background(pixels)[:, None, None, :])
    return result.permute(0, 3, 1, 2)  # [N, 3, side, side]


def inside(places: Tensor, side: int) -> Tensor:
    """Which pixel numbers lie in 0..side - 1; bool, [...] of places [...]."""
    return (places >= 0) & (places < side)


def background(pixels: Tensor) -> Tensor:
    """The median color of each image's border, [N, 3], of pixels [N, 3, side, side]."""
    border = [pixels[:, :, 0], pixels[:, :, -1], pixels[:, :, :, 0], pixels[:, :, :, -1]]
    return torch.cat(border, dim=2).median(dim=2).values  # [N, 3, 4 * side] to [N, 3]


def box_text(box: Tensor) -> str:
    """`[0.31, 0.20, 0.45, 0.45]` of a box [4] in fractions."""
    return "[" + ", ".join(f"{value:.2f}" for value in box.tolist()) + "]"


def texts_of(images: Iterable[PublicImage]) -> set[str]:
    """Every question and answer, for the vocabulary."""
    return {
        text
        for image in images
        for pairs in image.pairs.values()
        for pair in pairs
        for text in pair
    }


def check_mix(mix: Mapping[str, int], images: Sequence[PublicImage]) -> None:
    """Refuse a mix that asks for a task of which no public image has an example.

    Args:
        mix: examples of each task in a batch.

    Raises:
        DataError: names the task.
    """
    for task, count in mix.items():
        if count and not any(task in image.pairs for image in images):
            raise DataError(
                f"The public pictures hold no example of '{task}'; remove it from the mix."
            )
