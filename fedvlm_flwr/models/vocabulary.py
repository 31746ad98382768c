"""Whether a model has words, and room, for what it shall learn to say."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedvlm_flwr.data.federated import Example, FederatedData, examples
from fedvlm_flwr.data.limits import Limits
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.models.vlm import VLM

SAMPLE = 500  # training records that are looked at
UNKNOWN = 0.05  # a larger share of their words without a token is worth a warning ...
TOO_MANY = 0.2  # ... and of the answers', an end
USUAL = 99.5  # per cent of the answers that are not longer than the usual length
SIGNS = re.compile(r"\A\W+|\W+\Z")  # around a word


@dataclass(frozen=True)
class Words:
    """The words of some texts that a model has no token for.

    Attributes:
        unknown: how often each stands there.
        count: of all words.
        texts: how many of the texts hold one.
    """

    unknown: Counter[str]
    count: int
    texts: int

    @property
    def share(self) -> float:
        """The unknown ones' share, in [0, 1]."""
        return self.unknown.total() / self.count if self.count else 0.0


def unknown_words(vlm: VLM, texts: Iterable[str]) -> Words:
    """The words that the tokenizer does not know.

    What has no token of its own can be neither learnt nor said. Tokenizers that spell any text,
    as those of the large models do, know everything.
    """
    # What stands between blanks, as a whole: a number may be known as one and not in pieces.
    lines = [text.split() for text in texts]
    words = Counter(word for line in lines for word in line)
    strange: set[str] = set()
    if vlm.unknown_id is not None:
        strange = {w for w in words if vlm.unknown_id in vlm.encode("?", w).answer_ids[:-1]}
    unknown: Counter[str] = Counter()
    for word in strange:
        unknown[SIGNS.sub("", word) or word] += words[word]
    return Words(unknown, words.total(), sum(not strange.isdisjoint(line) for line in lines))


@dataclass(frozen=True)
class Wording:
    """The words of a sample of training records: of the answers, and of the questions."""

    answers: Words
    questions: Words


def wording(vlm: VLM, data: FederatedData) -> Wording:
    """What of the training records' words a model has no token for."""
    rows = range(0, len(data.train), max(1, len(data.train) // SAMPLE))
    sample = examples(data.train, data.root, rows, data.box_decimals)
    return Wording(
        unknown_words(vlm, (example.answer for example in sample)),
        unknown_words(vlm, (example.question for example in sample)),
    )


def shortage(model: str, answers: float, questions: float, named: str = "") -> str:
    """What is said of words without a token; empty where they are few.

    Args:
        model: its name.
        answers: the share of such words in the answers, in [0, 1].
        questions: in the questions.
        named: some of the words, where they may be said.
    """
    if max(answers, questions) <= UNKNOWN:
        return ""
    return (
        f"{model} has no token for {answers:.0%} of the words in the training answers and "
        f"{questions:.0%} of those in the questions{named} and cannot learn them; choose a model "
        "that spells any text (docs/models.md)"
    )


def are_too_many(answers: float, params: Any) -> bool:
    """Whether such a share of the answers' words ends a run.

    Args:
        params: the dataset's, which may allow it.
    """
    allowed = not isinstance(params, Limits) or params.allow_unknown_words
    return answers > TOO_MANY and not allowed


def answer_lengths(vlm: VLM, answers: Sequence[str]) -> list[int]:
    """The tokens of each answer with the one that ends it."""
    lengths = {answer: vlm.answer_length(answer) for answer in set(answers)}
    return [lengths[answer] for answer in answers]


def usual_length(lengths: Sequence[int]) -> int:
    """The least length that 99.5 % of at least one answer do not exceed."""
    return int(np.percentile(lengths, USUAL, method="inverted_cdf"))


def untrainable(vlm: VLM, examples: Iterable[Example]) -> Iterator[Example]:
    """The examples whose answer leaves no room for what must stand around it, unless it is cut.

    Raises:
        ModelError: one has earlier turns, or other than one picture, and the model's prompt has no
            form for them.
    """
    for example in examples:
        try:
            vlm.encode(
                example.question,
                example.answer,
                example.history,
                pictures=len(example.images),
            )
        except DataError:
            yield example
