"""Captioning, by hand and against the package that scores it."""

import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks import captioning
from fedvlm_flwr.tasks.base import Reference

REFERENCES = ["a blue circle", "a red circle", "a teal square"]
LONG_REFERENCE = "The caption of the image is: " + "the left lung is clear " * 20
BOXES_IN = {"question"}
TRUTH = ["a red circle near the box", "a blue square on a table", "two green cats asleep outside"]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A red  Circle.", "a red circle"),
        ("the doctor's x-ray, (2) views!", "the doctor's x-ray 2 views"),
        ("- ' ...", ""),
    ],
)
def test_tokens(caption: str, expected: str) -> None:
    assert captioning.tokenize(caption) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The caption of the image is: a cat: black.", "a cat: black."),
        ("The reports for it ARE : No change.", "No change."),
        ("The caption is:", ""),
        ("The caption is a cat", "The caption is a cat"),
        ("Caption: a cat", "Caption: a cat"),
        ("The time is: noon", "The time is: noon"),
        ("A captioned clock is: late", "A captioned clock is: late"),
        (f"The caption {'very ' * 20}is: a cat", f"The caption {'very ' * 20}is: a cat"),
        (": a cat", ": a cat"),
    ],
)
def test_a_lead_in_is_no_part_of_the_caption(answer: str, expected: str) -> None:
    assert captioning.without_lead(answer) == expected


def test_a_lead_in_changes_no_score() -> None:
    said = ["a red circle", "a blue table", "two dogs"]
    bare = captioning.score(said, TRUTH)
    led = [f"The caption of the image is: {text}." for text in said]
    truth = [f"The caption of this picture is: {text}." for text in TRUTH]
    assert captioning.score(led, TRUTH) == captioning.score(said, truth) == bare


def test_scores_by_hand() -> None:
    """Two references, "red circle" and "blue circle", both answered with "Red circle.".

    CIDEr: "circle" is in both references, so its weight is log(2/2) = 0; "red" and the pair
    "red circle" are in one. The first answer has cosine 1 for one and two words and 0 for three
    and four, which are not there: 10 * (1 + 1 + 0 + 0) / 4 = 5; the second shares nothing of any
    weight: 0. ROUGE-L: 1, and precision = recall = 1/2. BLEU-1: 3 of 4 words; BLEU-2: 1 of 2 pairs
    as well, (3/4 * 1/2)^(1/2).
    """
    said, truth = ["Red circle.", "red circle"], ["red circle", "blue circle"]
    scores = captioning.score(said, truth)
    assert scores["cider"] == pytest.approx(2.5)
    assert scores["rouge_l"] == pytest.approx(0.75)
    assert scores["bleu_1"] == pytest.approx(0.75)
    assert scores["bleu_2"] == pytest.approx((3 / 8) ** 0.5)
    assert scores["accuracy"] == 0.5
    values = captioning.each(said, truth)
    assert values["cider"] == pytest.approx([5.0, 0.0])
    assert values["rouge_l"] == pytest.approx([1.0, 0.5])
    assert values["accuracy"] == [1.0, 0.0]


def test_scores_are_those_of_the_package() -> None:
    said = ["A red circle by the box", "a square, blue, on a table!", "cats asleep outside today"]
    scores = captioning.score(said, TRUTH)
    ours = {i: [captioning.tokenize(text)] for i, text in enumerate(said)}
    theirs = {i: [captioning.tokenize(text)] for i, text in enumerate(TRUTH)}
    bleu, _ = Bleu(4).compute_score(theirs, ours, verbose=0)
    expected = {
        "cider": Cider().compute_score(theirs, ours)[0],
        "rouge_l": Rouge().compute_score(theirs, ours)[0],
        **{f"bleu_{n}": bleu[n - 1] for n in (1, 2, 3, 4)},
    }
    assert 0 < expected["bleu_4"] < 1
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=1e-6), name
    assert scores.keys() == {*expected, "accuracy"}


def test_scores_on_several_references_by_hand() -> None:
    """ "red circle" against "red square" and "blue circle"; "cat" against "cat" and "a dog".

    BLEU-1: every word is in some reference, 3 of 3, and the closest references are as long.
    ROUGE-L: 1/2, as one of two words is common with either; and 1. CIDEr of the first picture: all
    four words weigh log 2, so each cosine of single words is 1/2, and no pair is common:
    10 * (1/2 + 0 + 0 + 0) / 4 = 5/4. Of the second: cosine 1 with the first reference, 0 with the
    other, whose pair makes it one pair longer: 10 * (1/2 * 1) / 4 = 5/4.
    """
    said = {0: ["red circle"], 1: ["cat"]}
    truth = {0: ["red square", "blue circle"], 1: ["cat", "a dog"]}
    scores = captioning.package_scores(said, truth)
    assert scores["bleu_1"] == pytest.approx(1.0)
    assert scores["rouge_l"] == pytest.approx(0.75)
    assert scores["cider"] == pytest.approx(1.25)


def test_equal_captions_of_four_words_reach_the_top() -> None:
    scores = captioning.score([caption.upper() for caption in TRUTH], TRUTH)
    assert scores["cider"] == pytest.approx(10.0)
    for name in ("rouge_l", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "accuracy"):
        assert scores[name] == pytest.approx(1.0), name


def test_better_captions_score_higher() -> None:
    near = captioning.score([TRUTH[0], "a blue square", "two cats"], TRUTH)
    far = captioning.score([TRUTH[1], TRUTH[2], TRUTH[0]], TRUTH)
    assert 10 > near["cider"] > far["cider"]
    assert 1 > near["rouge_l"] > far["rouge_l"]


def test_an_empty_caption_scores_nothing_and_breaks_nothing() -> None:
    scores = captioning.score(["", "...", TRUTH[2]], TRUTH)
    assert scores["cider"] == pytest.approx(10 / 3)
    assert scores["rouge_l"] == scores["accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("reference", ["...", "The caption is: ..."])
def test_a_reference_without_words_is_refused(reference: str) -> None:
    for call in (captioning.score, captioning.each):
        with pytest.raises(DataError, match=rf"Reference caption 1 is '{reference}'"):
            call(["a", "b"], ["a", reference])


def test_the_majority_keeps_its_article() -> None:
    said = ["A red circle.", "The caption is: a red circle", "a blue one"]
    assert captioning.majority(said) == "a red circle"


def test_every_reference_of_a_picture_counts() -> None:
    truth = [Reference(text, ["a second caption of it"]) for text in TRUTH]
    said = ["a second caption of it", *TRUTH[1:]]
    scores = captioning.score(said, truth)
    assert scores["accuracy"] == scores["rouge_l"] == pytest.approx(1)
    assert captioning.score(said, TRUTH)["accuracy"] < 1
    tokens = captioning.tokenize
    texts = {i: [*map(tokens, (one, *one.others))] for i, one in enumerate(truth)}
    spoken = {i: [tokens(text)] for i, text in enumerate(said)}
    assert scores["cider"] == pytest.approx(Cider().compute_score(texts, spoken)[0])
