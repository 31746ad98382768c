"""Detection by generation: the answer holds one box `[x, y, width, height]`, scored by its IoU."""

import re
from collections.abc import Sequence
from statistics import median

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.base import check_any, check_pairs, mean

HEADLINE = "iou"

Box = tuple[float, float, float, float]  # left, top, width, height, in fractions of the picture

# Every repetition is bounded and possessive (no backtracking), so the time is linear in the text.
_DIGITS = r"(?:[0-9]{1,9}+(?:\.[0-9]{0,18}+)?+|\.[0-9]{1,18}+)"
_PLACE, _SIZE = (rf"\s{{0,9}}+({sign}{_DIGITS})\s{{0,9}}+" for sign in ("[+-]?+", r"\+?+"))
BOX = re.compile(rf"\[{_PLACE},{_PLACE},{_SIZE},{_SIZE}\]")


def format_box(box: Sequence[float]) -> str:
    """Write a box as an answer: "[0.31, 0.20, 0.45, 0.45]"."""
    x, y, width, height = box
    return f"[{x:.2f}, {y:.2f}, {width:.2f}, {height:.2f}]"


def parse_box(text: str) -> Box | None:
    """Read the first group of four numbers in square brackets; None where there is no box.

    Numbers are integers or decimal fractions, without exponents. A group with a negative width or
    height is none, and the next one is tried.
    """
    found = BOX.search(text)
    if found is None:
        return None
    x, y, width, height = (float(number) for number in found.groups())
    return x, y, width, height


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]; 0 where both are empty."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0.0) * max(down, 0.0)
    union = one[2] * one[3] + other[2] * other[3] - shared
    return min(shared / union, 1.0) if union > 0 else 0.0


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Mean IoU over all examples, an answer without a box counting as 0.

    Returns:
        `iou`, `accuracy_iou50` (share of examples whose IoU is at least 0.5) and `unparseable`
        (share of answers without a box), in [0, 1].

    Raises:
        DataError: empty or unequally long input, or a reference without a box.
    """
    check_pairs(predictions, references)
    truths = [_reference(text) for text in references]
    boxes = [parse_box(text) for text in predictions]
    pairs = zip(boxes, truths, strict=True)
    values = [0.0 if box is None else iou(box, truth) for box, truth in pairs]
    return {
        "iou": mean(values),
        "accuracy_iou50": mean([value >= 0.5 for value in values]),
        "unparseable": mean([box is None for box in boxes]),
    }


def majority(references: Sequence[str]) -> str:
    """The box of the medians of the references' four numbers, written as an answer."""
    check_any(references)
    columns = zip(*(_reference(text) for text in references), strict=True)
    return format_box([median(column) for column in columns])


def _reference(text: str) -> Box:
    box = parse_box(text)
    if box is None:
        raise DataError(
            f"The reference {text[:80]!r} holds no box; write it as [x, y, width, height]."
        )
    return box
