"""Question answering."""

import pytest

from fedvlm_flwr.tasks import vqa
from fedvlm_flwr.tasks.base import Reference

REFERENCES = ["yes", "no", "blue"]
LONG_REFERENCE = "the left lung"


def test_the_whole_answer_counts_not_its_first_letter() -> None:
    assert vqa.score(["Lung"], ["Liver"])["accuracy"] == 0.0
    assert vqa.score(["Lung, left"], ["Lung"])["accuracy"] == 0.0
    assert vqa.score(["the lung."], ["Lung"])["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The answer is A.", "a"),
        ("the answer to the question is: the Lung", "lung"),
        ("Answer is: no.", "no"),
        ("The answer is the answer is yes", "yes"),
        ("the answer is", "answer is"),
        ("the liver is enlarged", "liver is enlarged"),
        ("he said the answer is yes", "he said answer is yes"),
    ],
)
def test_only_a_lead_in_goes_from_an_answer(answer: str, expected: str) -> None:
    assert vqa.parse(answer) == expected


def test_lead_ins_count_on_neither_side() -> None:
    assert vqa.score(["Two"], ["The answer to the question is: 2."])["accuracy"] == 1.0
    assert vqa.score(["The spleen is enlarged"], ["The liver is enlarged"])["accuracy"] == 0.0


def test_closed_and_open_questions_apart() -> None:
    said = ["yes", "No.", "yes", "no", "blue", "one", "no"]
    truth = ["Yes", "yes", "No", "the answer is yes", "Blue", "1", "red"]
    assert vqa.score(said, truth) == {
        "accuracy": 3 / 7,
        "accuracy_closed": 1 / 4,
        "closed_yes_said": 2 / 4,
        "closed_yes_true": 3 / 4,
        "accuracy_open": 2 / 3,
        "f1_open": 2 / 3,
    }
    assert vqa.each(said, truth) == {"accuracy": [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]}


def test_a_kind_of_question_that_is_not_there_has_no_score() -> None:
    assert vqa.score(["yes"], ["yes"]) == {
        "accuracy": 1.0,
        "accuracy_closed": 1.0,
        "closed_yes_said": 1.0,
        "closed_yes_true": 1.0,
    }
    assert vqa.score(["yes"], ["red"]) == {"accuracy": 0.0, "accuracy_open": 0.0, "f1_open": 0.0}


def test_token_f1_by_hand() -> None:
    # "left lower lung" of "lower lobe of left lung": 3 of 3 and 3 of 5, 2 * 1 * 0.6 / 1.6 = 3/4.
    assert vqa.token_f1("left lower lung", "lower lobe of left lung") == pytest.approx(0.75)
    # A word said twice counts once where it stands once: 1 of 2 and 1 of 1.
    assert vqa.token_f1("lung lung", "lung") == pytest.approx(2 / 3)
    assert vqa.token_f1("lung", "liver") == 0.0
    assert vqa.token_f1("", "liver") == vqa.token_f1("liver", "") == 0.0
    assert vqa.token_f1("", "") == 1.0
    # Articles and punctuation are no tokens: 1 of 1 and 1 of 2.
    assert vqa.score(["The lung."], ["a left lung"])["f1_open"] == pytest.approx(2 / 3)


def test_the_majority_is_of_normalised_answers_and_the_first_of_equals() -> None:
    assert vqa.majority(["yes", "The answer is no", "no.", "blue"]) == "no"
    assert vqa.majority(["yes", "no", "blue"]) == "blue"


def test_any_of_several_right_answers_counts() -> None:
    truth = [Reference("left", ["right side", "left"]), Reference("two", ["2 or 3"])]
    scores = vqa.score(["the right side", "four"], truth)
    assert (scores["accuracy"], scores["accuracy_open"]) == (0.5, 0.5)
    assert vqa.each(["right side", "2 or 3"], truth) == {"accuracy": [1.0, 1.0]}


def test_the_record_says_what_is_closed_and_else_yes_or_no_does() -> None:
    truth = [Reference("left", closed=True), Reference("yes", closed=False), Reference("no")]
    scores = vqa.score(["left", "no", "no"], truth)
    assert (scores["accuracy_closed"], scores["accuracy_open"]) == (1.0, 0.0)
    assert (scores["closed_yes_said"], scores["closed_yes_true"]) == (0.0, 0.0)
