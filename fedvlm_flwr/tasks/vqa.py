"""Visual question answering: the whole normalised answer is right, or it is wrong."""

from collections.abc import Sequence

from fedvlm_flwr.tasks.base import check_pairs, mean, most_frequent, normalise

HEADLINE = "accuracy"
CLOSED = ("yes", "no")


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Exact match over all questions, and over closed (yes or no) and open ones apart.

    Returns:
        `accuracy`, `accuracy_closed`, `accuracy_open` in [0, 1]; one of the last two is left out
        where there is no such question.

    Raises:
        DataError: empty or unequally long input.
    """
    check_pairs(predictions, references)
    truths = [normalise(reference) for reference in references]
    right = [normalise(said) == truth for said, truth in zip(predictions, truths, strict=True)]
    closed = [hit for hit, truth in zip(right, truths, strict=True) if truth in CLOSED]
    opened = [hit for hit, truth in zip(right, truths, strict=True) if truth not in CLOSED]
    groups = {"accuracy": right, "accuracy_closed": closed, "accuracy_open": opened}
    return {name: mean(hits) for name, hits in groups.items() if hits}


def majority(references: Sequence[str]) -> str:
    """The most frequent normalised answer."""
    return most_frequent([normalise(reference) for reference in references])
