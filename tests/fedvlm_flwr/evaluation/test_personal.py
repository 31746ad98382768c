"""Scores of clients that each have a model of their own."""

import pytest

from fedvlm_flwr.evaluation.personal import mean_scores

SCORES = {"vqa": {"accuracy": 0.5, "yes/no": 1.0}, "caption": {"cider": 0.25}}


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
