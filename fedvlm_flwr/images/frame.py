"""The frame in which a model sees an image, and boxes that follow it.

A box is told in fractions of the image. A model that is shown the image padded or cropped measures
in fractions of its frame.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.images.boxes import Box

Size = tuple[int, int]  # width and height in pixels


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of the picture's plane that a model sees, in fractions of the picture.

    A padded picture lies inside it (`left` < 0 or `width` > 1), of a cropped one it is a part.
    """

    left: float
    top: float
    width: float
    height: float

    def to_frame(self, box: Box) -> Box:
        """A box of the picture in fractions of the frame, cut where the frame ends.

        A box wholly outside has no width or no height and lies on the border next to it. In
        training it stays what is asked for: the model learns that the thing lies beyond that
        border. No answer of it can overlap the true box, so that a crop bounds a model's scores.
        """
        if self == WHOLE:
            return box
        left, width = _cut((box[0] - self.left) / self.width, box[2] / self.width)
        top, height = _cut((box[1] - self.top) / self.height, box[3] / self.height)
        return left, top, width, height

    def to_image(self, box: Box) -> Box:
        """A box of the frame in fractions of the picture, cut where the picture ends."""
        if self == WHOLE:
            return box
        left, width = _cut(self.left + box[0] * self.width, box[2] * self.width)
        top, height = _cut(self.top + box[1] * self.height, box[3] * self.height)
        return left, top, width, height

    def middle(self, across: float, down: float) -> Self:
        """The central part of this frame, in shares of its width and height."""
        return replace(
            self,
            left=self.left + (1 - across) / 2 * self.width,
            top=self.top + (1 - down) / 2 * self.height,
            width=across * self.width,
            height=down * self.height,
        )


WHOLE = Frame(0, 0, 1, 1)


def padded(size: Size) -> Frame:
    """The square of the picture's longer side with the picture in its middle."""
    width, height = size
    side = max(size)
    # Whole pixels, as the picture is padded.
    left, top = (side - width) // 2, (side - height) // 2
    return Frame(-left / width, -top / height, side / width, side / height)


def cropped(size: Size) -> Frame:
    """The square of the picture's shorter side out of its middle."""
    width, height = size
    side = min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return Frame(left / width, top / height, side / width, side / height)


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


def _cut(start: float, length: float) -> tuple[float, float]:
    """An interval cut to 0..1, as its start and length."""
    first, last = (min(max(at, 0.0), 1.0) for at in (start, start + length))
    return first, last - first
