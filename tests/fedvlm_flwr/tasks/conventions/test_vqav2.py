"""VQA accuracy by hand."""

import pytest

from fedvlm_flwr.tasks.base import Reference
from fedvlm_flwr.tasks.conventions.base import vqa_normalize
from fedvlm_flwr.tasks.conventions.vqav2 import accuracy, each, score

REFERENCES = {"vqa": ["yes", "two dogs", "blue"]}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("The Dog.", "dog"),
        ("None", "0"),
        ("two dogs, ten cats", "2 dogs 10 cats"),
        ("eleven", "eleven"),  # number words go up to ten
        ("dont", "don't"),
        ("couldn'tve", "couldn't've"),
        ("somebody'd", "somebodyd"),  # the wrong way round there
        ("t-shirt", "t shirt"),  # a sign becomes a space
        ("t- shirt", "t shirt"),  # ... or goes beside one
        ("black/white", "black white"),
        ("1,000", "1000"),
        ("1,000 t-shirts", "1000 tshirts"),  # every sign goes beside a comma in a number
        ("3.5", "3.5"),
        ("U.S.A.", "usa"),
        ("it's: 50%", "it's: 50%"),  # apostrophe, colon and percent stay
        ("what?\tyes!\n", "what yes"),
    ],
)
def test_answers_are_normalized_as_the_evaluation_does(text: str, form: str) -> None:
    assert vqa_normalize(text) == form


@pytest.mark.parametrize(
    ("same", "value"),
    [
        (0, 0.0),
        (1, 0.3),  # nine of ten subsets hold it once, the tenth never: 9/10 * 1/3
        (2, 0.6),  # 8/10 * 2/3 + 2/10 * 1/3
        (3, 0.9),  # 7/10 * 1 + 3/10 * 2/3
        (4, 1.0),
        (10, 1.0),
    ],
)
def test_ten_people_leave_one_out(same: int, value: float) -> None:
    people = ["Dog"] * same + [f"cat {i}" for i in range(10 - same)]
    assert accuracy("a dog.", people) == pytest.approx(value)


def test_an_example_has_the_answers_that_people_gave() -> None:
    ten = Reference("dog", ["dog", "cat", "cat", *["cow"] * 6])
    assert each("vqa", ["dog", "cow", "horse"], [ten] * 3)["accuracy"] == pytest.approx([0.6, 1, 0])


def test_fewer_than_four_answers_count_in_full() -> None:
    values = score("vqa", ["2", "no", "dogs"], ["Two", Reference("yes", ["No."]), "dog"])
    assert values == {"accuracy": pytest.approx(2 / 3)}
