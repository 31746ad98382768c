"""Captioning, scored by pycocoevalcap's CIDEr, ROUGE-L and BLEU.

Tokens: lower case, runs of letters, digits, and inner apostrophes or hyphens; every other sign is
dropped. The original pipeline runs the Penn Treebank tokenizer (Java) instead; on plain captions
the words are the same. METEOR and SPICE are not offered: they are Java programs.

A lead-in such as "The caption of the image is: ..." is no part of a caption: where the text up to
the first colon is at most 100 characters long, holds the word caption or report and ends in "is"
or "are", it goes, from predictions and references alike.
"""

import re
from collections.abc import Sequence

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.base import mean, most_frequent, normalize, read, read_pairs, right_answers

HEADLINE = "cider"
BOXES_IN = frozenset({"question"})
WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")
LEAD_LENGTH = 100

Texts = dict[int, list[str]]  # what the package takes: one or more tokenised texts a picture


def tokenize(caption: str) -> str:
    """The words of a caption, separated by single spaces."""
    return " ".join(WORD.findall(caption.lower()))


def without_lead(answer: str) -> str:
    """The caption of an answer: what follows the lead-in, or all of it where there is none."""
    lead, colon, caption = answer.partition(":")
    words = tokenize(lead).split()
    names = {"caption", "captions", "report", "reports"} & set(words[:-1])
    if colon and len(lead) <= LEAD_LENGTH and names and words[-1] in ("is", "are"):
        return caption.strip()
    return answer


def each(predictions: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """Compare one caption with the references of a picture.

    CIDEr weighs words by their rarity in all `references`, so a picture's value is one within this
    corpus. BLEU is of the corpus alone, and not among them.

    Returns:
        `cider` in [0, 10], `rouge_l` in [0, 1] and `accuracy`, 0 or 1, one value a picture.

    Raises:
        DataError: empty or unequally long input, or a reference without a word.
    """
    captions, truth = _captions(predictions, references)
    scores = package_scores_each(_texts([[caption] for caption in captions]), _texts(truth))
    return {**scores, "accuracy": _exact(captions, truth)}


def score(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compare one caption with the references of a picture, over the corpus.

    CIDEr weighs words by their rarity in `references`, so a corpus of one caption, or of equal
    ones, scores 0. Its top is 10, or 7.5 for captions of three words, which have no 4-gram; for
    the same reason their BLEU-4 is near 0 even where they are perfect. Values are the package's.

    Returns:
        `cider` in [0, 10]; `rouge_l`, `bleu_1` to `bleu_4` and `accuracy` (exact match of the
        whole normalised caption) in [0, 1].

    Raises:
        DataError: empty or unequally long input, or a reference without a word.
    """
    captions, truth = _captions(predictions, references)
    scores = package_scores(_texts([[caption] for caption in captions]), _texts(truth))
    return {**scores, "accuracy": mean(_exact(captions, truth))}


def package_scores(captions: Texts, truth: Texts) -> dict[str, float]:
    """CIDEr, ROUGE-L and BLEU-1 to 4 of tokenised texts, by number of the picture.

    `captions` holds one text a picture, `truth` one or more.
    """
    bleu, _ = Bleu(4).compute_score(truth, captions, verbose=0)
    return {
        "cider": float(Cider().compute_score(truth, captions)[0]),
        "rouge_l": float(Rouge().compute_score(truth, captions)[0]),
        **{f"bleu_{n}": float(value) for n, value in enumerate(bleu, 1)},
    }


def package_scores_each(captions: Texts, truth: Texts) -> dict[str, list[float]]:
    """CIDEr within this corpus and ROUGE-L of each picture, see `package_scores`."""
    return {
        "cider": Cider().compute_score(truth, captions)[1].tolist(),
        "rouge_l": Rouge().compute_score(truth, captions)[1].tolist(),
    }


def majority(references: Sequence[str]) -> str:
    """The most frequent caption, as its tokens: with its articles, which CIDEr counts.

    Raises:
        DataError: there are no references.
    """
    return most_frequent([tokenize(without_lead(text)) for text in read(references)])


def _captions(
    predictions: Sequence[str], references: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """The captions, and for each those that count as right."""
    answers, truth = read_pairs(predictions, references)
    right = [[without_lead(text) for text in right_answers(reference)] for reference in truth]
    for i, captions in enumerate(right):
        if not all(WORD.search(caption) for caption in captions):
            raise DataError(
                f"Reference caption {i} is {references[i][:80]!r}, which has no word; "
                "remove its record."
            )
    return [without_lead(text) for text in answers], right


def _texts(captions: Sequence[Sequence[str]]) -> Texts:
    return {i: [tokenize(caption) for caption in own] for i, own in enumerate(captions)}


def _exact(captions: Sequence[str], truth: Sequence[Sequence[str]]) -> list[float]:
    pairs = zip(captions, truth, strict=True)
    return [float(normalize(one) in map(normalize, right)) for one, right in pairs]
