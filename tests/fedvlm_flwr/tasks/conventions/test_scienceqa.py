"""Option letters by hand."""

import pytest

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.conventions.scienceqa import option, score

LETTERS = ["The answer is A.", "B", "C. North"]
REFERENCES = dict.fromkeys(("vqa", "classification"), LETTERS)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A", "A"),
        (" E\t", "E"),
        ("B. North", "B"),
        ("C\nbecause", "C"),  # a line break is read as ". "
        ("So it is. The answer is D.", "D"),
        ("The answer is B because of A", "B"),
        ("The answer is A or The answer is B.", "B"),  # the one with a point goes first
        ("The answer is Alabama", "A"),
        ("A.", None),
        ("(A)", None),
        ("a", None),
        ("F", None),
        ("the answer is A", None),
        ("A and B", None),
        ("", None),
    ],
)
def test_letters_are_read_as_there(answer: str, letter: str | None) -> None:
    assert option(answer) == letter


def test_by_hand() -> None:
    answers = ["A", "The answer is B.", "(C)", "D. x"]
    truth = ["The answer is A.", "B.", "C", "The right choice is (E)."]
    assert score("vqa", answers, truth) == {"accuracy": 0.5}


def test_a_reference_without_an_option_is_refused() -> None:
    with pytest.raises(DataError, match=r"'lung' names no option .* out of eval\.conventions"):
        score("vqa", ["A"], ["lung"])
