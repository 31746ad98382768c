"""Visual question answering: the whole normalised answer is right, or it is wrong."""

import re
from collections import Counter
from collections.abc import Sequence

from fedvlm_flwr.tasks.base import means, most_frequent, normalize, read, read_pairs

HEADLINE = "accuracy"
BOXES_IN: frozenset[str] = frozenset()
CLOSED = ("yes", "no")

# As `normalize` leaves it. Not all up to " is ": "the liver is enlarged" is an answer of its own.
LEAD = re.compile(r"\A(?:answer (?:to question )?+is )++")


def parse(answer: str) -> str:
    """The normalised answer without a lead-in "the answer (to the question) is"."""
    return LEAD.sub("", normalize(answer))


def token_f1(answer: str, truth: str) -> float:
    """Harmonic mean of the shares of common tokens, in [0, 1] (Rajpurkar et al. 2016, SQuAD).

    Tokens are the words of two normalised answers, each counted as often as it stands there. Where
    one answer has no words it is 1 if neither has, and otherwise 0.
    """
    ours, theirs = answer.split(), truth.split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


def each(predictions: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """Exact match of the whole answer.

    Returns:
        `accuracy`, 0 or 1 an example.

    Raises:
        DataError: empty or unequally long input.
    """
    pairs = _parsed(predictions, references)
    return {"accuracy": [float(answer == truth) for answer, truth in pairs]}


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Exact match over all questions, and closed (answer yes or no) and open ones apart.

    Returns:
        In [0, 1]: `accuracy`; over the closed questions `accuracy_closed` and the balance of yes
        and no, `closed_yes_said` and `closed_yes_true` (shares that the answers and the references
        say yes to); over the open ones `accuracy_open` and `f1_open` (mean token F1). What has no
        question is left out.

    Raises:
        DataError: empty or unequally long input.
    """
    pairs = _parsed(predictions, references)
    closed_pairs = [pair for pair in pairs if pair[1] in CLOSED]
    open_pairs = [pair for pair in pairs if pair[1] not in CLOSED]
    return means(
        {
            "accuracy": [float(answer == truth) for answer, truth in pairs],
            "accuracy_closed": [float(answer == truth) for answer, truth in closed_pairs],
            "accuracy_open": [float(answer == truth) for answer, truth in open_pairs],
            "closed_yes_said": [float(answer == "yes") for answer, _ in closed_pairs],
            "closed_yes_true": [float(truth == "yes") for _, truth in closed_pairs],
            "f1_open": [token_f1(answer, truth) for answer, truth in open_pairs],
        }
    )


def majority(references: Sequence[str]) -> str:
    """The most frequent normalised answer.

    Raises:
        DataError: there are no references.
    """
    return most_frequent([parse(reference) for reference in read(references)])


def _parsed(predictions: Sequence[str], references: Sequence[str]) -> list[tuple[str, str]]:
    answers, truths = read_pairs(predictions, references)
    return [(parse(one), parse(other)) for one, other in zip(answers, truths, strict=True)]
