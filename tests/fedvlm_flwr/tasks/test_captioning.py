import pytest

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks import captioning

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
    assert captioning.tokenise(caption) == expected


def test_scores_by_hand() -> None:
    """Two references, "red circle" and "blue circle", both answered with "Red circle.".

    CIDEr: "circle" is in both references, so its weight is log(2/2) = 0; "red" and the pair
    "red circle" are in one. The first answer has cosine 1 for one and two words and 0 for three
    and four, which are not there: 10 * (1 + 1 + 0 + 0) / 4 = 5; the second shares nothing of any
    weight: 0. ROUGE-L: 1, and precision = recall = 1/2. BLEU-1: 3 of 4 words.
    """
    scores = captioning.score(["Red circle.", "red circle"], ["red circle", "blue circle"])
    assert scores["cider"] == pytest.approx(2.5)
    assert scores["rouge_l"] == pytest.approx(0.75)
    assert scores["bleu_1"] == pytest.approx(0.75)
    assert scores["accuracy"] == 0.5


def test_equal_captions_of_four_words_reach_the_top() -> None:
    scores = captioning.score([caption.upper() for caption in TRUTH], TRUTH)
    assert scores["cider"] == pytest.approx(10.0)
    for name in ("rouge_l", "bleu_1", "bleu_4", "accuracy"):
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


def test_a_reference_without_words_is_refused() -> None:
    with pytest.raises(DataError, match=r"Reference caption 1 is '\.\.\.'"):
        captioning.score(["a", "b"], ["a", "..."])


def test_the_majority_keeps_its_article() -> None:
    assert captioning.majority(["A red circle.", "a red circle", "a blue one"]) == "a red circle"
