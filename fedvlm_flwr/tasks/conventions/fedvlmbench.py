"""FedVLMBench's scores (arXiv 2506.09638) as its released code computes them, on generated answers.

The code compares what follows the first "is" (of boxes the first "are") of a text, wherever these
letters stand ("this"), counts nothing that lacks them as right, and leaves what it cannot read out
of the means of IoU and of captions. So it is here, but that no text is run as code. Its published
numbers are of the most probable tokens after the true ones, and so are higher.
"""

import re
from collections.abc import Callable, Sequence

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.boxes import LabeledBox, iou, parse_boxes
from fedvlm_flwr.tasks.base import mean, means, read_pairs
from fedvlm_flwr.tasks.captioning import package_scores

Pairs = Sequence[tuple[str, str]]  # an answer and its reference

FLOAT = r"\s*[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)\s*"  # 1 and 0 are no numbers there
FLOATS = re.compile(rf"\[{FLOAT}(?:,{FLOAT}){{3}}\]")


def each(
    task: str, predictions: Sequence[str], references: Sequence[str]
) -> dict[str, list[float]]:
    """The accuracies of each answer; of captions and boxes nothing, as not all are counted.

    Returns:
        `accuracy` (the rest of the text is equal: its scripts of one dataset) and
        `accuracy_character` (one character is: those of several tasks), 0 or 1 an example.

    Raises:
        DataError: empty or unequally long input, or no reference is of the published wording.
    """
    pairs = _pairs(task, predictions, references)
    if SCORES[task] is not _accuracies:
        return {}
    return {"accuracy": [_same(*pair, None) for pair in pairs]} | {
        "accuracy_character": [_same(*pair, 1) for pair in pairs]
    }


def score(task: str, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The scores of a task.

    Returns:
        The means of `each`; or `cider` and `rouge_l`, of words between blanks; or `iou`. With the
        latter two goes `counted`, the share of examples that they are of.

    Raises:
        DataError: as `each`.
    """
    return SCORES[task](_pairs(task, predictions, references))


def _accuracies(pairs: Pairs) -> dict[str, float]:
    return {
        "accuracy": mean([_same(*pair, None) for pair in pairs]),
        "accuracy_character": mean([_same(*pair, 1) for pair in pairs]),
    }


def _captions(pairs: Pairs) -> dict[str, float]:
    texts = [(_after(a, "is", 4), _after(b, "is", 4)) for a, b in pairs]
    both = [(a, b) for a, b in texts if a is not None and b is not None]
    if not both:
        return {"counted": 0.0}
    ours, theirs = ({i: [pair[side]] for i, pair in enumerate(both)} for side in (0, 1))
    scores = package_scores(ours, theirs)
    return {key: scores[key] for key in ("cider", "rouge_l")} | {"counted": len(both) / len(pairs)}


def _ious(pairs: Pairs) -> dict[str, float]:
    values = [_ious_of(_boxes(answer), _boxes(truth)) for answer, truth in pairs]
    counted = mean([float(bool(own)) for own in values])
    return {"iou": 0.0} | means({"iou": [v for own in values for v in own]}) | {"counted": counted}


SCORES: dict[str, Callable[[Pairs], dict[str, float]]] = {
    "vqa": _accuracies,
    "classification": _accuracies,
    "captioning": _captions,
    "report": _captions,
    "detection": _ious,
    "grounding": _ious,
}
TASKS = frozenset(SCORES)


def _pairs(task: str, predictions: Sequence[str], references: Sequence[str]) -> Pairs:
    pairs = list(zip(*read_pairs(predictions, references), strict=True))
    words = ("are", "is") if SCORES[task] is _ious else ("is",)
    if not any(word in truth for _, truth in pairs for word in words):
        raise DataError(
            f"No reference is worded as FedVLMBench's are ({references[0][:80]!r} holds no "
            f"'{words[0]}'); take fedvlmbench out of eval.conventions."
        )
    return pairs


def _after(text: str, word: str, characters: int) -> str | None:
    """What follows so many characters after the word's first; None: it does not stand there."""
    line = text.strip().removesuffix(".")
    place = line.find(word)
    return None if place < 0 else line[place + characters :]


def _same(answer: str, truth: str, characters: int | None) -> float:
    ours, theirs = _after(answer, "is", 3), _after(truth, "is", 3)
    if ours is None or theirs is None:
        return 0.0
    return float(ours[:characters] == theirs[:characters] != " ")


def _boxes(text: str) -> list[LabeledBox]:
    """The boxes of a text: four decimal fractions, or labeled ones; none where it has neither."""
    rest = _after(text, "are", 3)
    rest = _after(text, "is", 2) if rest is None else rest
    boxes = parse_boxes(rest or "")
    plain = len(boxes) == 1 and FLOATS.fullmatch((rest or "").strip())
    return boxes if plain else [one for one in boxes if one.label is not None]


def _ious_of(ours: Sequence[LabeledBox], theirs: Sequence[LabeledBox]) -> list[float]:
    """The IoUs of boxes at the same place of both texts, of those with the same label."""
    pairs = zip(ours, theirs, strict=False)
    return [iou(one.box, other.box) for one, other in pairs if one.label == other.label]
