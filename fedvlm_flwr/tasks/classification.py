"""Classification by generation: the class is the answer, or what follows its last " is "."""

from collections.abc import Sequence

from fedvlm_flwr.tasks.base import means, most_frequent, normalize, read, read_pairs, right_answers

HEADLINE = "accuracy"
BOXES_IN: frozenset[str] = frozenset()


def parse(answer: str) -> str:
    """The normalised class of an answer: "circle" of "The shape is a circle."."""
    _, _, last = f" {normalize(answer)}".rpartition(" is ")
    return last.strip()


def each(predictions: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """Exact match of the whole class.

    Returns:
        `accuracy`, 0 or 1 an example.

    Raises:
        DataError: empty or unequally long input.
    """
    pairs = zip(*read_pairs(predictions, references), strict=True)
    right = [parse(answer) in map(parse, right_answers(truth)) for answer, truth in pairs]
    return {"accuracy": [float(one) for one in right]}


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The mean of `each`: `accuracy` in [0, 1].

    Raises:
        DataError: empty or unequally long input.
    """
    return means(each(predictions, references))


def majority(references: Sequence[str]) -> str:
    """The most frequent normalised class.

    Raises:
        DataError: there are no references.
    """
    return most_frequent([parse(reference) for reference in read(references)])
