"""Measure the one shape of a picture from its pixels: which, in which color, and where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedvlm_flwr.errors import DataError

SHAPES = ("circle", "rectangle", "triangle")
COLORS = {
    "black": 0x000000,
    "blue": 0x0000FF,
    "brown": 0xA52A2A,
    "gray": 0x808080,
    "green": 0x00FF00,
    "red": 0xFF0000,
    "teal": 0x008080,
    "yellow": 0xFFFF00,
}
# Share of its box that a shape covers. On the 5,000 pictures of easy-VQA: triangles 0.53 to 0.74,
# circles 0.81 to 0.95 (pi/4 and the softened edge), rectangles exactly 1.
TRIANGLE_BELOW, CIRCLE_BELOW = 0.775, 0.975
BATCH = 500  # pictures held decoded at a time

Codes = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class MeasuredShape:
    """The shape of a picture; `box` is (x, y, width, height) in fractions of the picture."""

    shape: str
    color: str
    box: tuple[float, float, float, float]


def measure(paths: Sequence[Path]) -> list[MeasuredShape]:
    """Find the shape in each of equally large pictures with a plain background.

    The background is the color of most border pixels; the shape is every other pixel, its
    softened edge included, and its color the one of `COLORS` that covers most of it.

    Raises:
        DataError: a picture is unreadable, of another size or shows no such shape; names it.
    """
    shapes: list[MeasuredShape] = []
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        decoded = [_codes(path) for path in batch]
        for path, codes in zip(batch, decoded, strict=True):
            if codes.shape != decoded[0].shape:
                raise DataError(
                    f"The picture {path} has {codes.shape} rows and columns, {batch[0]} has "
                    f"{decoded[0].shape}; install its dataset again."
                )
        shapes.extend(_measure(batch, np.stack(decoded)))
    return shapes


def _codes(path: Path) -> Codes:
    """Decode one picture into [H, W] colors of the form 0xRRGGBB."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            # Four bytes a pixel, the last one unused, read as one big-endian number.
            pixels = np.asarray(picture.convert("RGBX"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"The picture {path} cannot be measured ({error}); install its dataset again."
        ) from error
    codes: Codes = np.ascontiguousarray(pixels).view(">u4")[..., 0].astype(np.uint32)
    return np.right_shift(codes, 8, dtype=np.uint32)


def _measure(paths: Sequence[Path], codes: Codes) -> Iterator[MeasuredShape]:
    """Measure a batch of pictures [B, H, W]."""
    height, width = codes.shape[1:]
    border = np.concatenate(
        [codes[:, 0], codes[:, -1], codes[:, 1:-1, 0], codes[:, 1:-1, -1]], axis=1
    )
    # The median of codes is the majority's code, where one color has a majority.
    background = np.sort(border, axis=1)[:, border.shape[1] // 2]
    inside = codes != background[:, None, None]  # [B, H, W]
    columns, rows = inside.any(axis=1), inside.any(axis=2)  # [B, W], [B, H]
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right, bottom = width - columns[:, ::-1].argmax(axis=1), height - rows[:, ::-1].argmax(axis=1)
    filled = inside.sum(axis=(1, 2)) / ((right - left) * (bottom - top))
    pure = np.stack([(codes == code).sum(axis=(1, 2)) for code in COLORS.values()], axis=1)
    names = list(COLORS)
    for i, path in enumerate(paths):
        if not pure[i].any():
            raise DataError(
                f"The picture {path} shows no shape in a known colour ({', '.join(names)}); "
                "install its dataset again."
            )
        x, y, right_x, bottom_y = (int(edge[i]) for edge in (left, top, right, bottom))
        yield MeasuredShape(
            shape=_shape(float(filled[i])),
            color=names[int(pure[i].argmax())],
            box=(x / width, y / height, (right_x - x) / width, (bottom_y - y) / height),
        )


def _shape(filled: float) -> str:
    if filled < TRIANGLE_BELOW:
        return "triangle"
    return "circle" if filled < CIRCLE_BELOW else "rectangle"
