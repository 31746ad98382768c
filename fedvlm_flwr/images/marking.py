"""Boxes drawn onto their picture."""

from collections.abc import Sequence
from pathlib import Path

from PIL import ImageDraw

from fedvlm_flwr.images.boxes import LabeledBox
from fedvlm_flwr.images.reading import open_image
from fedvlm_flwr.paths import atomic_path

COLORS = ("#e6194b", "#0082c8", "#3cb44b", "#f58231", "#911eb4", "#46f0f0")
THIN = 200  # a line is as wide as the longer side over this, and two pixels at least


def save_with_boxes(image: Path, boxes: Sequence[LabeledBox], target: Path) -> None:
    """Write a picture with boxes on it as a PNG, each with its label where it has one.

    Raises:
        DataError: the picture cannot be read.
        OSError: the target cannot be written.
    """
    picture = open_image(image)
    width, height = picture.size
    line = max(2, max(picture.size) // THIN)
    pen = ImageDraw.Draw(picture)
    for number, one in enumerate(boxes):
        color = COLORS[number % len(COLORS)]
        left, top, across, down = one.box
        corner = (left * width, top * height)
        far = ((left + across) * width, (top + down) * height)
        pen.rectangle((*corner, *far), outline=color, width=line)
        if one.label is not None:
            pen.text((corner[0] + line, corner[1] + line), one.label, fill=color)
    with atomic_path(target) as temporary:
        picture.save(temporary, format="PNG")
