"""LLaVA-Med's scores by hand."""

import pytest

from fedvlm_flwr.tasks.base import Reference
from fedvlm_flwr.tasks.conventions.vqa_rad import each, recall, score

REFERENCES = {"vqa": ["yes", "the left lung", "no"]}


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("Yes, there is.", "yes", 1.0),
        ("There is no effusion", "yes", 0.0),
        ("It looks normal", "no", 1.0),  # "normal" contains "no"
        ("the left side", Reference("left", closed=True), 1.0),  # a choice, closed by its record
        ("right", Reference("left", closed=True), 0.0),
    ],
)
def test_a_closed_question_is_right_where_the_answer_contains_it(
    answer: str, truth: str, right: float
) -> None:
    assert score("vqa", [answer], [truth]) == {"closed": right}


@pytest.mark.parametrize(
    ("answer", "truth", "value"),
    [
        ("left lung", "the left lung", 1.0),
        ("the upper left lobe", "left lung", 0.5),
        ("lung lung", "left lung", 2 / 3),  # said twice it counts twice, as in the released code
        ("heart", "left lung", 0.0),
        ("", "left lung", 0.0),
    ],
)
def test_an_open_question_scores_the_words_recalled(answer: str, truth: str, value: float) -> None:
    assert score("vqa", [answer], [truth]) == {"open_recall": pytest.approx(value)}


def test_both_are_over_their_own_questions() -> None:
    truth = ["yes", "no", Reference("yes", closed=False), Reference("liver", ["the spleen"])]
    values = score("vqa", ["yes", "yes", "yes", "spleen"], truth)
    assert values == {"closed": 0.5, "open_recall": 1.0}
    assert each("vqa", ["yes", "yes", "yes", "spleen"], truth) == {}


def test_recall_of_nothing_is_nothing() -> None:
    assert recall("", "") == recall("a", "") == 0.0
