"""VQA accuracy (Antol et al. 2015, Goyal et al. 2017): how many of ten people gave the answer.

Of ten answers each is left out once, and the answer scores min(matches / 3, 1) among the other
nine; the mean of the ten is the accuracy. Both sides are normalized always: the server leaves them
as they are where all ten agree, and those who send answers to it normalize them before.
"""

from collections.abc import Sequence

from fedvlm_flwr.tasks.base import all_answers, means, read_pairs
from fedvlm_flwr.tasks.conventions.base import vqa_normalize

TASKS = frozenset({"vqa"})
ENOUGH = 3  # people who give an answer make it right
LEAST = ENOUGH + 1  # with fewer answers none could be wholly right


def each(
    task: str, predictions: Sequence[str], references: Sequence[str]
) -> dict[str, list[float]]:
    """The accuracy of each answer.

    Of fewer than four right answers any one counts in full: with a single one it is exact match of
    the normalized answers.

    Returns:
        `accuracy` in [0, 1], one value an example.

    Raises:
        DataError: empty or unequally long input.
    """
    pairs = zip(*read_pairs(predictions, references), strict=True)
    return {"accuracy": [accuracy(answer, all_answers(truth)) for answer, truth in pairs]}


def score(task: str, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The mean of `each`.

    Raises:
        DataError: empty or unequally long input.
    """
    return means(each(task, predictions, references))


def accuracy(answer: str, people: Sequence[str]) -> float:
    """The accuracy of one answer among those that people gave."""
    count, size = list(map(vqa_normalize, people)).count(vqa_normalize(answer)), len(people)
    if size < LEAST:
        return float(count > 0)
    without_one, without_another = min((count - 1) / ENOUGH, 1.0), min(count / ENOUGH, 1.0)
    return (count * without_one + (size - count) * without_another) / size
