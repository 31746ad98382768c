"""Classification by generation."""

import pytest

from fedvlm_flwr.tasks import classification

REFERENCES = ["circle", "The shape is a circle.", "blue"]
LONG_REFERENCE = "The organ is the left lung."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("circle", "circle"),
        ("The aircraft in the picture is Boeing 737.", "boeing 737"),
        ("What this is is the 'circle'.", "circle"),
        ("is a circle", "circle"),
        ("The answer is A.", "a"),
        ("The class is: A.", "a"),
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
    assert classification.each(said, truth) == {"accuracy": [1.0, 1.0, 0.0, 0.0]}


def test_a_class_that_holds_an_is_equals_itself() -> None:
    name = "what is is"
    for said in (name, f"The class is {name}."):
        for truth in (name, f"The class is {name}."):
            assert classification.score([said], [truth])["accuracy"] == 1.0


def test_the_whole_class_counts_and_the_majority_is_of_normalised_ones() -> None:
    assert classification.score(["Lung"], ["Liver"])["accuracy"] == 0.0
    assert classification.majority(["It is a Boeing.", "boeing", "Airbus"]) == "boeing"
