"""The scores of several sites are those of one set of records."""

from math import sqrt

import numpy as np
import pytest

from fedvlm_flwr.evaluation.pooled import pooled_scores
from fedvlm_flwr.messages.scores import Scores, ScoresReply

RIGHT = {0: [1.0, 0.0, 1.0, 1.0], 1: [0.0], 2: [1.0, 0.5]}  # of each example at each site


def reply(values: list[float], task: str = "vqa") -> ScoresReply:
    mean, square = float(np.mean(values)), float(np.mean(np.square(values)))
    scores: Scores = {task: {"accuracy": mean, "accuracy_low": 0.0, "accuracy_high": 1.0}}
    return ScoresReply(scores, 1.0, {task: len(values)}, {task: {"accuracy": square}})


def test_a_mean_over_sites_is_the_mean_over_their_records_with_its_interval() -> None:
    every = np.concatenate(list(RIGHT.values()))
    pooled = pooled_scores({client: reply(values) for client, values in RIGHT.items()})["vqa"]
    assert pooled["accuracy"] == pytest.approx(every.mean())
    reach = 1.959964 * every.std() / sqrt(len(every))
    assert pooled["accuracy_low"] == pytest.approx(every.mean() - reach)
    assert pooled["accuracy_high"] == pytest.approx(every.mean() + reach)
    assert pooled["examples"] == 7


def test_each_site_counts_once_in_what_differs_over_them() -> None:
    pooled = pooled_scores({client: reply(values) for client, values in RIGHT.items()})["vqa"]
    assert pooled["local_accuracy_mean"] == pytest.approx((0.75 + 0 + 0.75) / 3)
    assert pooled["local_accuracy_worst"] == 0
    assert pooled["local_clients"] == 3
    assert not [name for name in pooled if "low_" in name or "high_" in name]


def test_sites_may_have_different_tasks_and_tell_no_squares() -> None:
    bare = ScoresReply({"captioning": {"cider": 0.8}}, 1.0, {"captioning": 10})
    pooled = pooled_scores({0: reply([1.0, 0.0]), 3: bare})
    assert pooled["captioning"]["cider"] == 0.8
    assert "cider_low" not in pooled["captioning"]
    assert pooled["vqa"]["accuracy"] == 0.5


def test_a_metric_that_a_site_lacks_is_none_of_all() -> None:
    more = ScoresReply({"vqa": {"accuracy": 1.0, "closed": 1.0}}, 1.0, {"vqa": 1})
    assert "closed" not in pooled_scores({0: more, 1: reply([0.0])})["vqa"]
    assert pooled_scores({}) == {}
