"""Normalised answers, question answering and classification."""

import pytest

from fedvlm_flwr.tasks import classification, vqa
from fedvlm_flwr.tasks.base import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  The Lung.\n", "lung"),
        ("Yes!", "yes"),
        ("a  blue\trectangle", "blue rectangle"),
        ("'Twelve'", "12"),
        ("two lungs", "2 lungs"),
        ("Zero", "0"),
        ("A.", "a"),  # a choice, no article
        ("vitamin A", "vitamin a"),
        ("the", "the"),
        ("-5", "-5"),
        ("50%", "50%"),
        ("x-ray", "x-ray"),
        ("(b)", "b"),
        ("\uff21\uff22", "ab"),  # full-width letters
        ("...", ""),
        ("", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected
    assert normalise(expected) == expected


def test_the_whole_answer_counts_not_its_first_letter() -> None:
    assert vqa.score(["Lung"], ["Liver"])["accuracy"] == 0.0
    assert vqa.score(["Lung, left"], ["Lung"])["accuracy"] == 0.0
    assert vqa.score(["the lung."], ["Lung"])["accuracy"] == 1.0


def test_closed_and_open_questions_apart() -> None:
    said, truth = ["yes", "No.", "blue", "one", "no"], ["Yes", "yes", "Blue", "1", "red"]
    assert vqa.score(said, truth) == {
        "accuracy": 3 / 5,
        "accuracy_closed": 1 / 2,
        "accuracy_open": 2 / 3,
    }


def test_a_kind_of_question_that_is_not_there_has_no_score() -> None:
    assert vqa.score(["yes"], ["yes"]) == {"accuracy": 1.0, "accuracy_closed": 1.0}
    assert vqa.score(["yes"], ["red"]) == {"accuracy": 0.0, "accuracy_open": 0.0}


def test_the_majority_is_of_normalised_answers_and_the_first_of_equals() -> None:
    assert vqa.majority(["yes", "No", "no.", "blue"]) == "no"
    assert vqa.majority(["yes", "no", "blue"]) == "blue"
    assert classification.majority(["It is a Boeing.", "boeing", "Airbus"]) == "boeing"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("circle", "circle"),
        ("The aircraft in the picture is Boeing 737.", "boeing 737"),
        ("What this is is the 'circle'.", "circle"),
        ("is a circle", "circle"),
        ("The answer is A.", "a"),
        ("this thing", "this thing"),
        ("Paris is", "paris is"),
    ],
)
def test_the_class_follows_the_last_is(answer: str, expected: str) -> None:
    assert classification.parse(answer) == expected


def test_classification_reads_sentences_on_both_sides() -> None:
    said = ["The shape is a circle.", "circle", "The shape is a circle.", ""]
    truth = ["circle", "The shape is circle.", "The shape is a square.", "circle"]
    assert classification.score(said, truth) == {"accuracy": 0.5}
