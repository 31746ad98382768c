"""Classification by generation: the class is the answer, or what follows its last " is "."""

from collections.abc import Sequence

from fedvlm_flwr.tasks.base import check_pairs, mean, most_frequent, normalise

HEADLINE = "accuracy"


def parse(answer: str) -> str:
    """The normalised class of an answer: "circle" of "The shape is a circle."."""
    _, _, last = f" {normalise(answer)}".rpartition(" is ")
    return normalise(last)


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Exact match of the whole class.

    Returns:
        `accuracy` in [0, 1].

    Raises:
        DataError: empty or unequally long input.
    """
    check_pairs(predictions, references)
    pairs = zip(predictions, references, strict=True)
    return {"accuracy": mean([parse(said) == parse(truth) for said, truth in pairs])}


def majority(references: Sequence[str]) -> str:
    """The most frequent normalised class."""
    return most_frequent([parse(reference) for reference in references])
