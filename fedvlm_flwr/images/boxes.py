"""Boxes in text: a strict small grammar, read and written, never evaluated.

    box    = "[" number "," number "," size "," size "]"
    entry  = label ":" box              label = 'text' or "text", 1 to 100 characters
    braces = "{" entry, entry ... "}"   1 to 100 entries

Every box of a text counts, wherever it stands; it has a label where it is an entry of braces.
Numbers are integers or decimal fractions, without exponents; sizes have no minus sign. Up to nine
blanks may stand between signs. Nothing in a label is interpreted, a backslash neither.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedvlm_flwr.errors import DataError

EXACT = 6  # decimals: a picture has fewer pixels than a million across
Box = tuple[float, float, float, float]  # left, top, width, height, in fractions of the picture

# Every repetition is bounded and possessive (no backtracking), so the time is linear in the text.
_S = r"\s{0,9}+"
_DIGITS = r"(?:[0-9]{1,9}+(?:\.[0-9]{0,18}+)?+|\.[0-9]{1,18}+)"
_PLACE, _SIZE = (rf"{_S}({sign}{_DIGITS}){_S}" for sign in ("[+-]?+", r"\+?+"))
_BOX = rf"\[{_PLACE},{_PLACE},{_SIZE},{_SIZE}\]"
_LABEL = rf"(?:'([^']{{1,100}}+)'|\"([^\"]{{1,100}}+)\"){_S}:{_S}"
_ENTRY = _LABEL + _BOX
_BRACES = rf"\{{{_S}{_ENTRY}(?:{_S},{_S}{_ENTRY}){{0,99}}+{_S}\}}"

ENTRY = re.compile(rf"(?:{_LABEL})?+({_BOX})")  # 'label', "label", box, and its four numbers
PIECE = re.compile(rf"{_BOX}|{_BRACES}")


@dataclass(frozen=True, slots=True)
class LabeledBox:
    """A box of a text, and what the text calls it."""

    box: Box
    label: str | None = None


def format_box(box: Sequence[float], decimals: int | None) -> str:
    """Write a box: "[0.31, 0.20, 0.45, 0.45]".

    Args:
        decimals: of each number; None: as many as tell it to a millionth, two at least.
    """
    x, y, width, height = (_written(number, decimals) for number in box)
    return f"[{x}, {y}, {width}, {height}]"


def format_boxes(boxes: Sequence[LabeledBox], decimals: int | None) -> str:
    """Write boxes as an answer: "[..]", "{'heart': [..]}", or several separated by commas.

    Several are put into square brackets where any has a label; none is written as "[]".

    Args:
        decimals: see `format_box`.

    Raises:
        DataError: a label that `parse_boxes` would not read back.
    """
    texts = [_format_one(one, decimals) for one in boxes]
    labeled = any(one.label is not None for one in boxes)
    together = ", ".join(texts)
    return f"[{together}]" if not boxes or (labeled and len(boxes) > 1) else together


def parse_boxes(text: str) -> list[LabeledBox]:
    """Read every box of a text, in order; none where it holds none.

    The time is linear in the text, whatever it holds. A group of numbers with a negative width or
    height is no box.
    """
    return [
        LabeledBox(_numbers(entry), entry[1] or entry[2])
        for piece in PIECE.finditer(text)
        for entry in ENTRY.finditer(piece[0])
    ]


def change_boxes(text: str, change: Callable[[Box], Box], decimals: int | None) -> str:
    """Rewrite every box of a text, and leave the rest.

    A box that comes out as it was keeps its very text.

    Args:
        decimals: see `format_box`.
    """

    def rewritten(entry: re.Match[str]) -> str:
        old = _numbers(entry)
        changed = change(old)
        new = changed if decimals is None else tuple(round(one, decimals) for one in changed)
        if new == old:
            return entry[0]
        return entry[0].removesuffix(entry[3]) + format_box(changed, decimals)

    return PIECE.sub(lambda piece: ENTRY.sub(rewritten, piece[0]), text)


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]; 0 where both are empty."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0.0) * max(down, 0.0)
    union = one[2] * one[3] + other[2] * other[3] - shared
    return min(shared / union, 1.0) if union > 0 else 0.0


def _numbers(entry: re.Match[str]) -> Box:
    x, y, width, height = (float(number) for number in entry.groups()[3:])
    return x, y, width, height


def _written(number: float, decimals: int | None) -> str:
    text = f"{number:.{EXACT if decimals is None else decimals}f}"
    if decimals is None:
        whole, _, rest = text.partition(".")
        text = f"{whole}.{rest[:2]}{rest[2:].rstrip('0')}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def _format_one(box: LabeledBox, decimals: int | None) -> str:
    if box.label is None:
        return format_box(box.box, decimals)
    quotes = [quote for quote in "'\"" if quote not in box.label]
    if not quotes or not 1 <= len(box.label) <= 100:
        raise DataError(
            f"The label {box.label[:110]!r} cannot be written beside a box; give it 1 to 100 "
            "characters and at most one kind of quotes."
        )
    return f"{{{quotes[0]}{box.label}{quotes[0]}: {format_box(box.box, decimals)}}}"
