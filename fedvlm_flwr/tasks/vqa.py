"""Visual question answering: the whole normalised answer is right, or it is wrong."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fedvlm_flwr.tasks.base import (
    Reference,
    means,
    most_frequent,
    normalize,
    read,
    read_pairs,
    right_answers,
)

HEADLINE = "accuracy"
BOXES_IN: frozenset[str] = frozenset()
CLOSED = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Pair:
    """A parsed answer and the parsed right ones, the one that is taught first."""

    answer: str
    right: list[str]
    closed: bool

    @property
    def accuracy(self) -> float:
        """1 where the answer is one of the right ones, else 0."""
        return float(self.answer in self.right)


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
    """Exact match of the whole answer with one of the right ones.

    Returns:
        `accuracy`, 0 or 1 an example.

    Raises:
        DataError: empty or unequally long input.
    """
    pairs = _parsed(predictions, references)
    return {"accuracy": [pair.accuracy for pair in pairs]}


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Exact match over all questions, and closed and open ones apart.

    A question is closed where its record says so, and else where its answer is yes or no.

    Returns:
        In [0, 1]: `accuracy`; over the closed questions `accuracy_closed`, and over those whose
        answer is yes or no the balance of the two, `closed_yes_said` and `closed_yes_true` (shares
        that the answers and the references say yes to); over the open ones `accuracy_open` and
        `f1_open` (mean token F1). What has no question is left out.

    Raises:
        DataError: empty or unequally long input.
    """
    pairs = _parsed(predictions, references)
    closed_pairs = [pair for pair in pairs if pair.closed]
    open_pairs = [pair for pair in pairs if not pair.closed]
    yes_no = [pair for pair in closed_pairs if pair.right[0] in CLOSED]
    return means(
        {
            "accuracy": [pair.accuracy for pair in pairs],
            "accuracy_closed": [pair.accuracy for pair in closed_pairs],
            "accuracy_open": [pair.accuracy for pair in open_pairs],
            "closed_yes_said": [float(pair.answer == "yes") for pair in yes_no],
            "closed_yes_true": [float(pair.right[0] == "yes") for pair in yes_no],
            "f1_open": [
                max(token_f1(pair.answer, truth) for truth in pair.right) for pair in open_pairs
            ],
        }
    )


def majority(references: Sequence[str]) -> str:
    """The most frequent normalised answer.

    Raises:
        DataError: there are no references.
    """
    return most_frequent([parse(reference) for reference in read(references)])


def _parsed(predictions: Sequence[str], references: Sequence[str]) -> list[Pair]:
    answers, truths = read_pairs(predictions, references)
    return [_pair(one, other) for one, other in zip(answers, truths, strict=True)]


def is_closed(reference: str) -> bool:
    """Whether the question is a closed one: its record says so, or else the answer is yes or no."""
    closed = reference.closed if isinstance(reference, Reference) else None
    return parse(reference) in CLOSED if closed is None else closed


def _pair(answer: str, reference: str) -> Pair:
    right = [parse(text) for text in right_answers(reference)]
    return Pair(parse(answer), right, is_closed(reference))
