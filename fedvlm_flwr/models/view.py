"""What of a picture a model sees, and boxes that follow.

A box is told in fractions of the picture. A model that is shown the picture padded or cropped
measures in fractions of what it is shown: questions and answers are rewritten for it, and what it
answers is rewritten back before it is scored.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from fedvlm_flwr.boxes import Box, change_boxes
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.tasks import load_task

Size = tuple[int, int]  # width and height in pixels


@dataclass(frozen=True, slots=True)
class View:
    """The part of the picture's plane that a model sees, in fractions of the picture.

    A padded picture lies inside it (`left` < 0 or `width` > 1), of a cropped one it is a part.
    """

    left: float
    top: float
    width: float
    height: float

    def to_view(self, box: Box) -> Box:
        """A box of the picture in fractions of the view, cut where the view ends.

        A box wholly outside has no width or no height and lies on the border next to it. In
        training it stays what is asked for: the model learns that the thing lies beyond that
        border. No answer of it can overlap the true box, so that a crop bounds a model's scores.
        """
        if self == WHOLE:
            return box
        left, width = _cut((box[0] - self.left) / self.width, box[2] / self.width)
        top, height = _cut((box[1] - self.top) / self.height, box[3] / self.height)
        return left, top, width, height

    def to_picture(self, box: Box) -> Box:
        """A box of the view in fractions of the picture, cut where the picture ends."""
        if self == WHOLE:
            return box
        left, width = _cut(self.left + box[0] * self.width, box[2] * self.width)
        top, height = _cut(self.top + box[1] * self.height, box[3] * self.height)
        return left, top, width, height

    def middle(self, across: float, down: float) -> Self:
        """The central part of this view, in shares of its width and height."""
        return replace(
            self,
            left=self.left + (1 - across) / 2 * self.width,
            top=self.top + (1 - down) / 2 * self.height,
            width=across * self.width,
            height=down * self.height,
        )


WHOLE = View(0, 0, 1, 1)


def padded(size: Size) -> View:
    """The square of the picture's longer side with the picture in its middle."""
    width, height = size
    side = max(size)
    # Whole pixels, as the picture is padded.
    left, top = (side - width) // 2, (side - height) // 2
    return View(-left / width, -top / height, side / width, side / height)


def cropped(size: Size) -> View:
    """The square of the picture's shorter side out of its middle."""
    width, height = size
    side = min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return View(left / width, top / height, side / width, side / height)


def shares(processing: Any) -> tuple[float, float]:
    """What a processor of transformers leaves of a square picture's width and height, in shares.

    Raises:
        ModelError: it crops what it has not brought to one size.
    """
    if not getattr(processing, "do_center_crop", False):
        return 1.0, 1.0
    size, crop = processing.size, processing.crop_size
    if processing.do_resize and size.height and size.width:
        return crop.width / size.width, crop.height / size.height
    if processing.do_resize and size.shortest_edge and not size.longest_edge:
        return crop.width / size.shortest_edge, crop.height / size.shortest_edge
    raise ModelError(
        f"The picture processing crops to {dict(crop)} after do_resize={processing.do_resize} with "
        f"size={dict(size)}, so that what is seen of a picture is unknown; set do_center_crop to "
        "false or size to {'shortest_edge': pixels} in its preprocessor_config.json."
    )


def as_seen(example: Example, view: View) -> Example:
    """An example whose question and answer tell boxes as the model sees them.

    Boxes are looked for where the example's task holds some (`BOXES_IN`); nothing else of the text
    changes, and nothing at all where the whole picture is seen.
    """
    if view == WHOLE:
        return example
    places = load_task(example.task).BOXES_IN
    question, answer = (
        change_boxes(text, view.to_view) if place in places else text
        for place, text in (("question", example.question), ("answer", example.answer))
    )
    return replace(example, question=question, answer=answer)


def as_in_picture(text: str, task: str, view: View) -> str:
    """A model's answer with its boxes in fractions of the picture."""
    if view == WHOLE or "answer" not in load_task(task).BOXES_IN:
        return text
    return change_boxes(text, view.to_picture)


def view_of(example: Example, look: Callable[[Path], View]) -> View:
    """What a model sees of an example's picture; without a look where no text can hold a box.

    Args:
        look: the model's `view`, which reads the picture's header.

    Raises:
        DataError: the header cannot be read; names the picture's path.
    """
    return look(example.image) if load_task(example.task).BOXES_IN else WHOLE


def _cut(start: float, length: float) -> tuple[float, float]:
    """An interval cut to 0..1, as its start and length."""
    first, last = (min(max(at, 0.0), 1.0) for at in (start, start + length))
    return first, last - first
