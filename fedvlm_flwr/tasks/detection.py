"""Detection by generation: the answer holds boxes, with or without labels, scored by their IoU.

A box of the answer is matched with a box of the reference of the same normalised label, and one
without a label only with one without; within a label one to one, the pair of highest IoU first.
The IoU of an example is the sum over its matched pairs, divided by the number of boxes of the
reference or of the answer, whichever is more: a box too many costs as much as a missing one, with
a single box in the reference too. By `accuracy_iou50` an example is right where each of its boxes
is in such a pair of at least 0.5, and there is none too many.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.boxes import Box, LabeledBox, format_boxes, iou, parse_boxes
from fedvlm_flwr.tasks.base import means, most_frequent, normalize, read, read_pairs, right_answers

HEADLINE = "iou"
BOXES_IN = frozenset({"question", "answer"})

ENOUGH = 0.5  # IoU of a box that is where it should be

Groups = dict[str | None, list[Box]]  # boxes by their normalised label


def each(predictions: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """IoU of every example, an answer without a box counting as 0.

    Returns:
        `iou` in [0, 1], `accuracy_iou50` (1 where each box has its match of an IoU of at least 0.5,
        and none is too many) and `unparseable` (1 where the answer holds no box), one value an
        example.

    Raises:
        DataError: empty or unequally long input, or a reference without a box.
    """
    answers, truths = read_pairs(predictions, references)
    expected = [[_reference(text) for text in right_answers(truth)] for truth in truths]
    boxes_of = [parse_boxes(text) for text in answers]
    pairs = list(zip(boxes_of, expected, strict=True))
    return {
        "iou": [max(example_iou(ours, theirs) for theirs in right) for ours, right in pairs],
        "accuracy_iou50": [
            float(any(_all_match(ours, theirs) for theirs in right)) for ours, right in pairs
        ],
        "unparseable": [float(not boxes) for boxes in boxes_of],
    }


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The means of `each` over all examples, in [0, 1].

    Raises:
        DataError: empty or unequally long input, or a reference without a box.
    """
    return means(each(predictions, references))


def example_iou(answer: Sequence[LabeledBox], reference: Sequence[LabeledBox]) -> float:
    """The IoU of an answer's boxes with the reference's, of which there is at least one."""
    return sum(_matches(answer, reference)) / max(len(answer), len(reference))


def majority(references: Sequence[str]) -> str:
    """Boxes of the medians of the references' four numbers, one a label, written as an answer.

    Labels are those that at least half of the references hold, or else the most frequent one.

    Raises:
        DataError: there are no references, or one holds no box.
    """
    texts = read(references)
    members: dict[str | None, list[LabeledBox]] = defaultdict(list)
    counts: Counter[str | None] = Counter()
    for boxes in map(_reference, texts):
        counts.update({_key(one) for one in boxes})
        for one in boxes:
            members[_key(one)].append(one)
    ranking = sorted(counts, key=lambda label: (-counts[label], label is not None, label or ""))
    common = [label for label in ranking if 2 * counts[label] >= len(texts)] or ranking[:1]
    return format_boxes([_middle(members[label]) for label in common], None)


def _all_match(answer: Sequence[LabeledBox], reference: Sequence[LabeledBox]) -> bool:
    values = _matches(answer, reference)
    return len(values) == len(answer) == len(reference) and min(values) >= ENOUGH


def _matches(answer: Sequence[LabeledBox], reference: Sequence[LabeledBox]) -> list[float]:
    """The IoU of every pair of boxes of one label."""
    ours, theirs = _by_label(answer), _by_label(reference)
    pairs = (_paired(ours[label], theirs[label]) for label in theirs if label in ours)
    return [value for values in pairs for value in values]


def _paired(ours: Sequence[Box], theirs: Sequence[Box]) -> list[float]:
    """The IoUs of the pairs, taken from the highest down, each box once."""
    values = {
        (i, j): iou(one, other) for i, one in enumerate(ours) for j, other in enumerate(theirs)
    }
    pairs, free, rest = [], set(range(len(ours))), set(range(len(theirs)))
    for i, j in sorted(values, key=lambda pair: -values[pair]):
        if i in free and j in rest:
            pairs.append(values[i, j])
            free.remove(i)
            rest.remove(j)
    return pairs


def _key(box: LabeledBox) -> str | None:
    return None if box.label is None else normalize(box.label)


def _by_label(boxes: Sequence[LabeledBox]) -> Groups:
    groups: Groups = defaultdict(list)
    for one in boxes:
        groups[_key(one)].append(one.box)
    return groups


def _middle(boxes: Sequence[LabeledBox]) -> LabeledBox:
    """The medians of boxes of one label, under its most frequent spelling."""
    x, y, width, height = (
        median(column) for column in zip(*(one.box for one in boxes), strict=True)
    )
    spellings = [one.label for one in boxes if one.label is not None]
    return LabeledBox((x, y, width, height), most_frequent(spellings) if spellings else None)


def _reference(text: str) -> list[LabeledBox]:
    boxes = parse_boxes(text)
    if not boxes:
        raise DataError(
            f"The reference {text[:80]!r} holds no box; write it as [x, y, width, height]."
        )
    return boxes
