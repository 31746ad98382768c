"""Captioning, scored by pycocoevalcap's CIDEr, ROUGE-L and BLEU; no Java is needed.

Tokens: lower case, runs of letters, digits, and inner apostrophes or hyphens; every other sign is
dropped. The original pipeline runs the Penn Treebank tokenizer (Java) instead; on plain captions
the words are the same.
"""

import re
from collections.abc import Sequence

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.base import check_pairs, mean, most_frequent, normalise

HEADLINE = "cider"
WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


def tokenise(caption: str) -> str:
    """The words of a caption, separated by single spaces."""
    return " ".join(WORD.findall(caption.lower()))


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compare one caption with one reference a picture, over the corpus.

    CIDEr weighs words by their rarity in `references`, so a corpus of one caption, or of equal
    ones, scores 0. Its top is 10, or 7.5 for captions of three words, which have no 4-gram; for
    the same reason their BLEU-4 is near 0 even where they are perfect. Values are the package's.

    Returns:
        `cider` in [0, 10]; `rouge_l`, `bleu_1`, `bleu_4` and `accuracy` (exact match of the whole
        normalised caption) in [0, 1].

    Raises:
        DataError: empty or unequally long input, or a reference without a word.
    """
    check_pairs(predictions, references)
    said = {i: [tokenise(caption)] for i, caption in enumerate(predictions)}
    truth = {i: [tokenise(caption)] for i, caption in enumerate(references)}
    for i, (caption,) in truth.items():
        if not caption:
            raise DataError(
                f"Reference caption {i} is {references[i]!r}, which has no word; remove its record."
            )
    bleu, _ = Bleu(4).compute_score(truth, said, verbose=0)
    pairs = zip(predictions, references, strict=True)
    return {
        "cider": float(Cider().compute_score(truth, said)[0]),
        "rouge_l": float(Rouge().compute_score(truth, said)[0]),
        "bleu_1": float(bleu[0]),
        "bleu_4": float(bleu[3]),
        "accuracy": mean([normalise(one) == normalise(other) for one, other in pairs]),
    }


def majority(references: Sequence[str]) -> str:
    """The most frequent caption, as its tokens: with its articles, which CIDEr counts."""
    return most_frequent([tokenise(reference) for reference in references])
