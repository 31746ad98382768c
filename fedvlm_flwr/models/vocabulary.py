"""Whether a model has words, and room, for what it shall learn to say."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.models.vlm import VLM

USUAL = 99.5  # per cent of the answers that are not longer than the usual length
SIGNS = re.compile(r"\A\W+|\W+\Z")  # around a word


@dataclass(frozen=True)
class Words:
    """The words of some texts that a model has no token for.

    Attributes:
        unknown: how often each stands there.
        count: of all words.
    """

    unknown: Counter[str]
    count: int

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
    words = Counter(word for text in texts for word in text.split())
    unknown: Counter[str] = Counter()
    if vlm.unknown_id is not None:
        for word in words:
            if vlm.unknown_id in vlm.encode("?", word).answer_ids[:-1]:
                unknown[SIGNS.sub("", word) or word] += words[word]
    return Words(unknown, words.total())


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
