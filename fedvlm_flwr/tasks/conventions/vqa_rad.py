"""LLaVA-Med's scores on VQA-RAD, SLAKE and PathVQA (Li et al. 2023, arXiv 2306.00890).

A closed question is right where the normalized answer contains the reference as text ("normal"
contains "no"); an open one scores the share of the reference's words that the answer has. The
released code leaves a closed question out of the count where the answer says yes or no and is
wrong, and calls it wrong where a choice ("left") is answered without either; here each one counts.
"""

from collections import Counter
from collections.abc import Sequence

from fedvlm_flwr.tasks.base import means, read_pairs, right_answers
from fedvlm_flwr.tasks.conventions.base import vqa_normalize
from fedvlm_flwr.tasks.vqa import is_closed

TASKS = frozenset({"vqa"})


def each(
    task: str, predictions: Sequence[str], references: Sequence[str]
) -> dict[str, list[float]]:
    """Nothing: both metrics are over a part of the examples.

    Raises:
        DataError: empty or unequally long input.
    """
    read_pairs(predictions, references)
    return {}


def score(task: str, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Both scores; what has no question is left out.

    Returns:
        In [0, 1]: `closed`, `open_recall`.

    Raises:
        DataError: empty or unequally long input.
    """
    pairs = list(zip(*read_pairs(predictions, references), strict=True))
    closed = [pair for pair in pairs if is_closed(pair[1])]
    others = [pair for pair in pairs if not is_closed(pair[1])]
    return means(
        {
            "closed": [
                float(any(map(vqa_normalize(a).__contains__, _right(t)))) for a, t in closed
            ],
            "open_recall": [max(recall(vqa_normalize(a), b) for b in _right(t)) for a, t in others],
        }
    )


def recall(answer: str, truth: str) -> float:
    """The share of the reference's words that the answer has, of normalized texts.

    As in the released code a word that both have counts as often as the answer says it.
    """
    ours, theirs = Counter(answer.split()), Counter(truth.split())
    hits = sum(ours[word] for word in theirs)
    misses = sum(count for word, count in theirs.items() if word not in ours)
    return hits / (hits + misses) if hits else 0.0


def _right(reference: str) -> list[str]:
    return list(map(vqa_normalize, right_answers(reference)))
