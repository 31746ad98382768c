"""What the tasks share: normalised answers, exact match, the most frequent answer."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from fedvlm_flwr.errors import DataError

# Signs that carry meaning in an answer (-5, <1, 50%) are not among them.
PUNCTUATION = " .,;:!?\"'`()[]{}\u2018\u2019\u201c\u201d\u3002"
ARTICLES = frozenset({"a", "an", "the"})
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
NUMBERS = {word: str(number) for number, word in enumerate(_WORDS.split())}


def normalise(text: str) -> str:
    """Bring an answer to the form in which two equal answers are equal strings.

    Case, surrounding punctuation and white space go, number words up to twelve become digits, and
    an article goes where a word follows it: the "A" of a multiple choice or of "vitamin A" stays.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(folded.split()).strip(PUNCTUATION).split()
    kept = [word for word in words[:-1] if word not in ARTICLES] + words[-1:]
    return " ".join(NUMBERS.get(word, word) for word in kept)


def check_pairs(predictions: Sequence[str], references: Sequence[str]) -> None:
    """Refuse what has no mean.

    Raises:
        DataError: there is nothing to score, or not one prediction for each reference.
    """
    if len(predictions) != len(references):
        raise DataError(
            f"There are {len(predictions)} predictions for {len(references)} references; "
            "give one for each."
        )
    check_any(references)


def check_any(references: Sequence[str]) -> None:
    """Refuse an empty list.

    Raises:
        DataError: there are no references.
    """
    if not references:
        raise DataError("There are 0 references to score; choose at least one example.")


def mean(values: Sequence[float | bool]) -> float:
    """The mean of at least one value."""
    return float(sum(values)) / len(values)


def most_frequent(answers: Sequence[str]) -> str:
    """The most frequent of the answers, the alphabetically first where several are.

    Raises:
        DataError: there are no answers.
    """
    check_any(answers)
    return min(Counter(answers).items(), key=lambda item: (-item[1], item[0]))[0]
