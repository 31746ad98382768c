"""The COCO caption evaluation (Chen et al. 2015, arXiv 1504.00325): its scores on its own tokens.

Tokens are Penn Treebank ones in lower case, without punctuation ("it 's", "4.5", "%", "can not");
METEOR and SPICE, Java programs, are not among them. A lead-in goes as from `captioning`'s answers.
"""

from collections.abc import Sequence

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.base import all_answers, read_pairs
from fedvlm_flwr.tasks.captioning import (
    Texts,
    package_scores,
    package_scores_each,
    without_lead,
)
from fedvlm_flwr.tasks.treebank.lexer import treebank_words

TASKS = frozenset({"captioning", "report"})


def each(
    task: str, predictions: Sequence[str], references: Sequence[str]
) -> dict[str, list[float]]:
    """CIDEr within this corpus and ROUGE-L.

    Returns:
        `cider` in [0, 10] and `rouge_l` in [0, 1], one value a picture.

    Raises:
        DataError: empty or unequally long input, or a reference without a word.
    """
    return package_scores_each(*_texts(predictions, references))


def score(task: str, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The corpus's scores, see `captioning.score`.

    Returns:
        `cider` in [0, 10]; `rouge_l` and `bleu_1` to `bleu_4` in [0, 1].

    Raises:
        DataError: empty or unequally long input, or a reference without a word.
    """
    return package_scores(*_texts(predictions, references))


def _texts(predictions: Sequence[str], references: Sequence[str]) -> tuple[Texts, Texts]:
    """The words of each caption, and of each of the references that people gave."""
    captions, truth = read_pairs(predictions, references)
    ours = {i: [treebank_words(without_lead(text))] for i, text in enumerate(captions)}
    theirs = {
        i: [treebank_words(without_lead(text)) for text in all_answers(reference)]
        for i, reference in enumerate(truth)
    }
    for i, texts in theirs.items():
        if not all(texts):
            raise DataError(
                f"Reference caption {i} is {references[i][:80]!r}, which has no word; "
                "remove its record."
            )
    return ours, theirs
