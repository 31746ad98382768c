"""What the tasks share: what is read of an answer, normalised answers, the most frequent one."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from fedvlm_flwr.errors import DataError

# No true answer comes near it; it bounds the time that a text without end can take.
READ = 10_000  # characters

ARTICLES = frozenset({"a", "an", "the"})
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBERS = {word: str(number) for number, word in enumerate(_UNITS.split())} | {
    word: str(10 * number) for number, word in enumerate(_TENS.split(), 2)
}

_SAME = str.maketrans("\u2018\u2019\u2010\u2011\u2012\u2013\u2212", "''-----")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_INNER = r"(?<=\w)[.:'](?=\w)|\.(?=[0-9])|-(?=\w|\.[0-9])"
_SIGN = re.compile(rf"({_INNER})|[-.:',;!?\"`*()\[\]{{}}\u2014\u201c\u201d\u3001\u3002]")


class Reference(str):
    """A right answer: the one that is taught, and what else is known of it.

    Attributes:
        others: further answers that count as right, each as often as people gave it.
        closed: whether the question is a closed one; None: nobody has said so.
    """

    others: tuple[str, ...]
    closed: bool | None

    def __new__(
        cls, text: str, others: Sequence[str] = (), closed: bool | None = None
    ) -> "Reference":
        """A text that is equal to the plain one."""
        self = super().__new__(cls, text)
        self.others, self.closed = tuple(others), closed
        return self


def right_answers(reference: str) -> list[str]:
    """All answers that count as right, the one that is taught first."""
    taught, *others = all_answers(reference)
    return [taught, *(other for other in others if other != taught)]


def all_answers(reference: str) -> list[str]:
    """The answers that people gave, each as often as they did, the one that is taught first."""
    others = reference.others if isinstance(reference, Reference) else ()
    return [str(reference), *others]


@lru_cache(maxsize=4096)  # answers repeat, and each is looked at for several metrics
def normalize(text: str) -> str:
    """Bring an answer to the form in which two equal answers are equal strings.

    Case goes. Commas, semicolons, quotes, brackets, stars, exclamation and question marks part
    words, and so do points, colons, apostrophes and hyphens but those inside a word or number
    ("3.5", "10:30", "patient's", "x-ray", "737-800") or before one (".5", "-5"); a thousands comma
    goes ("1,000"). Every other sign means something and stays ("50%", "<1", "A/B"). Articles go
    where a word follows: the "A" of a multiple choice or of "vitamin A" stays. Number words up to
    twenty, and tens, become digits. Normalising twice changes nothing more.
    """
    # Compatible caseless form (Unicode, D146), composed; folding may uncover what folds again.
    form = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold())
    form = unicodedata.normalize("NFKC", form.casefold()).translate(_SAME)
    words = _SIGN.sub(lambda sign: sign[1] or " ", _THOUSANDS.sub("", form)).split()
    rest = [word for word in words[:-1] if word not in ARTICLES] + words[-1:]
    return " ".join(NUMBERS.get(word, word) for word in rest)


def read(texts: Sequence[str]) -> list[str]:
    """The part of each text that is looked at: the first 10,000 characters.

    Raises:
        DataError: there are no texts.
    """
    if not texts:
        raise DataError("There are 0 references to score; choose at least one example.")
    return [
        Reference(text[:READ], [other[:READ] for other in text.others], text.closed)
        if isinstance(text, Reference)
        else text[:READ]
        for text in texts
    ]


def read_pairs(
    predictions: Sequence[str], references: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The part of each prediction and of each reference that is looked at.

    Raises:
        DataError: there is nothing to score, or not one prediction for each reference.
    """
    if len(predictions) != len(references):
        raise DataError(
            f"There are {len(predictions)} predictions for {len(references)} references; "
            "give one for each."
        )
    return read(predictions), read(references)


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return float(sum(values)) / len(values)


def means(values: dict[str, list[float]]) -> dict[str, float]:
    """The mean of each metric that has a value at all."""
    return {name: mean(column) for name, column in values.items() if column}


def most_frequent(answers: Sequence[str]) -> str:
    """The most frequent of at least one answer, the alphabetically first where several are."""
    return min(Counter(answers).items(), key=lambda item: (-item[1], item[0]))[0]
