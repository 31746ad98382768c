"""Scores of clients that each have a model of their own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

from fedvlm_flwr.errors import RunError
from strategies.core.personal import mean_scores, pack_scores, read_scores
from strategies.core.replies import BadReply

Wrap = Callable[[RecordDict | Error], Message]
SCORES = {"vqa": {"accuracy": 0.5, "yes/no": 1.0}, "caption": {"cider": 0.25}}


def test_round_trip(as_message: Wrap) -> None:
    record = pack_scores(SCORES, 2.5)
    assert record["vqa/accuracy"] == 0.5
    assert read_scores(as_message(RecordDict({"scores": record}))) == (SCORES, 2.5)


def test_mean_over_clients_of_what_all_report() -> None:
    other = {"vqa": {"accuracy": 0.25, "more": 1.0}}
    assert mean_scores([SCORES, other]) == {"vqa": {"accuracy": 0.375}}
    assert mean_scores([other, SCORES]) == {"vqa": {"accuracy": 0.375}}
    assert mean_scores([SCORES]) == SCORES


def test_shares_of_the_test_set_are_told_by_mean_worst_and_spread() -> None:
    """Client 1 has no example of the task of its own: its share is in none of the three."""
    found = [
        {"vqa": {"accuracy": 0.5, "accuracy_low": 0.25, "local_accuracy": 0.25}},
        {"vqa": {"accuracy": 1.0, "accuracy_low": 0.75}},
        {"vqa": {"accuracy": 0.0, "accuracy_low": 0.0, "local_accuracy": 0.75}},
    ]
    assert mean_scores(found)["vqa"] == {
        "accuracy": 0.5,
        "accuracy_low": pytest.approx(1 / 3),
        "local_accuracy_mean": 0.5,
        "local_accuracy_worst": 0.25,
        "local_accuracy_std": 0.25,
        "local_clients": 2.0,
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Error(7, "lost"), "error 7: lost"),
        (RecordDict({"failure": ConfigRecord({"reason": "No disk."})}), "No disk."),
        (RecordDict(), "holds no scores"),
        (RecordDict({"scores": ConfigRecord({"vqa/accuracy": 1.0})}), "holds no scores"),
    ],
)
def test_no_scores(as_message: Wrap, content: RecordDict | Error, reason: str) -> None:
    with pytest.raises(BadReply, match=reason):
        read_scores(as_message(content))


def test_a_client_that_cannot_be_scored_ends_the_run(
    federate: Callable[..., Any], make_grid: Callable[..., Any], good_reply: Callable[..., Any]
) -> None:
    """The mean would be over others than before."""

    def score(content: RecordDict) -> RecordDict:
        if content["config"]["client"] == 1 and content["config"]["round"] == 1:
            return RecordDict({"failure": ConfigRecord({"reason": "No disk."})})
        return RecordDict({"scores": MetricRecord({"vqa/accuracy": 1.0})})

    grid = make_grid(lambda client, number, shared: good_reply({}), evaluate=score)
    start = {"w": np.zeros(1, np.float32)}
    with pytest.raises(RunError, match=r"After round 1 .*client 1: No disk\."):
        federate("local", None, start, rounds=2, grid=grid, full_scores=lambda number: True)
