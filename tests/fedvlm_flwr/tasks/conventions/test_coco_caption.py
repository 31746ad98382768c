"""The COCO caption scores by hand, and on what the package's own tokenizer makes."""

import pytest

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks import captioning
from fedvlm_flwr.tasks.base import Reference
from fedvlm_flwr.tasks.conventions.coco_caption import each, score

CAPTIONS = ["A dog runs on 4.5 % of it.", "Two cats can't sleep", "a red bus, it's old"]
REFERENCES = dict.fromkeys(("captioning", "report"), CAPTIONS)


def test_by_hand() -> None:
    """Tokens "a 4.5 % slope" and "a 4.5 slope": three of four, and no more of the answer."""
    values = score("captioning", ["A 4.5 slope.", "x y z w"], ["a 4.5 % slope", "x y z w"])
    assert values["bleu_1"] == pytest.approx(2.718281828 ** (1 - 8 / 7))  # all, but too short
    pieces = captioning.score(["A 4.5 slope.", "x y z w"], ["a 4.5 % slope", "x y z w"])
    assert pieces["bleu_1"] == pytest.approx(1)  # "4", "5": the sign is none of its tokens


def test_assimilated_words_are_two() -> None:
    assert score("report", ["it can not be"], ["It cannot be."])["rouge_l"] == 1
    assert captioning.score(["it can not be"], ["It cannot be."])["rouge_l"] < 1


def test_each_reference_counts_as_often_as_it_was_given() -> None:
    """CIDEr is a mean over references: of three equal ones, over three."""
    thrice = [Reference("a dog runs here", ["a dog runs here", "two cats"]), "a bus"]
    once = [Reference("a dog runs here", ["two cats"]), "a bus"]
    answers = ["a dog runs here", "a bus"]
    assert (
        each("captioning", answers, thrice)["cider"][0]
        > each("captioning", answers, once)["cider"][0]
    )


def test_a_lead_in_is_no_part_of_a_caption() -> None:
    lead = "The caption of the image is: "
    assert score("captioning", CAPTIONS, [lead + text for text in CAPTIONS])["rouge_l"] == 1


def test_a_reference_without_a_word_is_refused() -> None:
    with pytest.raises(DataError, match=r"Reference caption 1 is '\.\.\.', which has no word"):
        score("captioning", ["a", "b"], ["a dog", "..."])
