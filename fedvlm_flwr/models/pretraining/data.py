"""What a tiny model is pretrained on: public pictures by task, and text in their place."""

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


class Record(Protocol):
    """A question on a picture and its answer, as the datasets give them."""

    @property
    def image(self) -> Path:
        """The picture."""

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
class Picture:
    """One public picture with its questions and answers by task."""

    path: Path
    asked: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @property
    def caption(self) -> str | None:
        """What the picture shows, in words."""
        pairs = self.asked.get(CAPTION)
        return pairs[0][1] if pairs else None

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """Left, top, width and height of the shape as fractions of the picture."""
        pairs = self.asked.get(BOX)
        if not pairs:
            return None
        numbers = [float(number) for number in FRACTION.findall(pairs[0][1])]
        if len(numbers) != 4:
            raise DataError(
                f"The box {pairs[0][1]!r} of {self.path} is not four two-decimal fractions."
            )
        return (numbers[0], numbers[1], numbers[2], numbers[3])


def by_picture(records: Iterable[Record]) -> list[Picture]:
    """The records gathered by picture, in the order of their first appearance.

    What is asked about any picture of a caption can be asked about the caption itself (`text`).
    """
    pictures: dict[Path, Picture] = {}
    for record in records:
        picture = pictures.setdefault(record.image, Picture(record.image))
        picture.asked.setdefault(record.task, []).append((record.question, record.answer))
    captioned = [picture for picture in pictures.values() if picture.caption]
    asked: dict[str, list[tuple[str, str]]] = {}
    for picture in captioned:
        asked.setdefault(picture.caption or "", []).extend(picture.asked.get(VQA, []))
    common = set.intersection(*(set(caption.split()) for caption in asked)) if asked else set()
    balanced = {caption: balance(pairs, caption, common) for caption, pairs in asked.items()}
    for picture in captioned:
        picture.asked[TEXT] = picture.asked[VQA] = balanced[picture.caption or ""]
    return list(pictures.values())


def balance(
    pairs: Iterable[tuple[str, str]], caption: str, common: set[str]
) -> list[tuple[str, str]]:
    """The distinct pairs, those whose question shares a word with the caption about half of them.

    Few questions happen to name what the picture shows, so that without this a model does well by
    answering "no" to "is there ...?" and "yes" to "is there no ...?", and learns to compare late.

    Args:
        pairs: questions and answers about pictures with this caption.
        caption: what these pictures show.
        common: words of every caption, which do not count.
    """
    telling = set(caption.split()) - common
    distinct = sorted(set(pairs))
    about = [pair for pair in distinct if telling & set(WORD.findall(pair[0]))]
    other = [pair for pair in distinct if not telling & set(WORD.findall(pair[0]))]
    return about * max(1, round(len(other) / max(len(about), 1))) + other


def shifted(
    pixels: Tensor, pictures: Sequence[Picture], draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures moved at random so far as their shape stays inside, and the boxes after the move.

    What comes into view gets the border's median colour; a picture without a box stays put.

    Args:
        pixels: [N, 3, side, side].
        pictures: the N pictures, for their boxes.
        draw: source of the moves.

    Returns:
        The moved pixels, and the boxes after the move, [N, 4] (zeros without a box).
    """
    side = pixels.shape[-1]
    moves, boxes = [], []
    for picture in pictures:
        box = picture.box
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
    dx, dy = torch.tensor(moves).unbind(1)
    place = torch.arange(side)
    rows, columns = place - dy[:, None], place - dx[:, None]  # [N, side]: where each comes from
    n = torch.arange(len(pixels))[:, None, None]
    moved = pixels.permute(0, 2, 3, 1)[
        n, rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None, :]
    ]  # [N, side, side, 3]
    seen = inside(rows, side)[:, :, None] & inside(columns, side)[:, None, :]
    moved = torch.where(seen[..., None], moved, background(pixels)[:, None, None, :])
    return moved.permute(0, 3, 1, 2), torch.tensor(boxes)


def inside(places: Tensor, side: int) -> Tensor:
    """Which pixel numbers lie in the picture."""
    return (places >= 0) & (places < side)


def background(pixels: Tensor) -> Tensor:
    """The median colour of each picture's border, [N, 3]."""
    border = [pixels[:, :, 0], pixels[:, :, -1], pixels[:, :, :, 0], pixels[:, :, :, -1]]
    return torch.cat(border, dim=2).median(dim=2).values


def box_text(box: Tensor) -> str:
    """`[0.31, 0.20, 0.45, 0.45]`."""
    return "[" + ", ".join(f"{value:.2f}" for value in box.tolist()) + "]"


def sources(picture: Picture, task: str) -> list[tuple[str, str]]:
    """The questions and answers from which a picture's rows of a task are drawn."""
    return picture.asked.get(task, [])


def words(pictures: Iterable[Picture]) -> set[str]:
    """Every question and answer, for the vocabulary."""
    return {text for p in pictures for pairs in p.asked.values() for pair in pairs for text in pair}


def check_mix(mix: Mapping[str, int], pictures: Sequence[Picture]) -> None:
    """Refuse a mix that asks for a task of which no public picture has an example.

    Raises:
        DataError: names the task.
    """
    for task, count in mix.items():
        if count and not any(task in picture.asked for picture in pictures):
            raise DataError(
                f"The public pictures hold no example of '{task}'; remove it from the mix."
            )
