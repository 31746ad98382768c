"""Answers of ten megabytes that want to be slow."""

import time

import pytest

from fedvlm_flwr.tasks import load_task, task_names
from fedvlm_flwr.tasks.base import normalize
from tests.facts import declared

UNITS = [
    "[",
    "{'[[1, 1, 1, 1",
    "[0, 0, 1, 1], ",
    "{'heart': [0, 0, 1, 1]}, ",
    "a ",
    "the answer is ",
    "caption is: ",
    "x'-",
    "1,000",
    "....",
    "\u0315\u0300\u05ae\u0316",  # combining marks in the order that takes the most sorting
    "\ufdfa",  # one sign that becomes eighteen
    "\U0001f600\u202e",
]
PLACE, TASKS = "tests.fedvlm_flwr.tasks", task_names()
FIRST, SECOND = (
    {name: own[i] for name, own in declared(PLACE, TASKS, "REFERENCES").items()} for i in (0, 1)
)
REFERENCES = FIRST | declared(PLACE, TASKS, "LONG_REFERENCE")  # long where length matters


@pytest.mark.parametrize("name", REFERENCES)
def test_ten_megabytes_of_anything_are_scored_in_bounded_time(name: str) -> None:
    task = load_task(name)
    said = [unit * (10_000_000 // len(unit)) for unit in UNITS]
    truth = [REFERENCES[name]] * len(said)
    start = time.process_time()
    scores = task.score(said, truth)
    values = task.each(said, truth)
    assert time.process_time() - start < 0.5 * len(said)
    assert scores[task.HEADLINE] < 0.1
    assert all(len(column) == len(said) for column in values.values())


@pytest.mark.parametrize("name", REFERENCES)
def test_only_the_first_ten_thousand_characters_are_read(name: str) -> None:
    task, truth = load_task(name), REFERENCES[name]
    padded = truth + " " * (10_000 - len(truth))
    other = SECOND[name]
    longer = task.score([padded + "and more [0.3, 0.3, 0.3, 0.3]", other], [truth, other])
    assert longer == task.score([truth, other], [truth, other])
    assert longer[task.HEADLINE] > 0.99


@pytest.mark.parametrize("unit", UNITS)
def test_what_is_read_of_a_hostile_answer_is_normalised_at_once(unit: str) -> None:
    start = time.process_time()
    normalize(unit * (10_000 // len(unit)))
    assert time.process_time() - start < 0.5
