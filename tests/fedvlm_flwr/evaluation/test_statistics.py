"""Intervals by resampling, and what clients' scores come to."""

import math
import time
import tracemalloc

import numpy as np
import pytest

from fedvlm_flwr.evaluation.statistics import intervals, over_clients, share_means


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 7.5])
@pytest.mark.parametrize("count", [1, 7])
def test_equal_values_have_no_width(value: float, count: int) -> None:
    assert intervals({"m": [value] * count}, 50, draw()) == {"m": (value, value)}


def test_many_hits_and_misses_are_near_the_normal_interval() -> None:
    hits = [1.0] * 1400 + [0.0] * 600
    half = 1.96 * math.sqrt(0.7 * 0.3 / 2000)  # 0.0201
    low, high = intervals({"m": hits}, 2000, draw())["m"]
    assert low == pytest.approx(0.7 - half, abs=0.002)
    assert high == pytest.approx(0.7 + half, abs=0.002)


def test_two_examples_by_hand() -> None:
    """Resamples of 0 and 1 have the means 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4."""
    assert intervals({"m": [0.0, 1.0]}, 1000, draw()) == {"m": (0.0, 1.0)}


def test_metrics_of_the_same_draws_keep_their_relation() -> None:
    values = draw(1).random(40)
    found = intervals({"a": values.tolist(), "b": (2 * values + 1).tolist()}, 200, draw())
    assert found["b"] == pytest.approx(tuple(2 * end + 1 for end in found["a"]))


def test_the_draws_follow_the_seed() -> None:
    values = {"m": draw(1).random(40).tolist()}
    assert intervals(values, 100, draw(3)) == intervals(values, 100, draw(3))
    assert intervals(values, 100, draw(3)) != intervals(values, 100, draw(4))


def test_ten_thousand_examples_take_about_a_second_and_little_memory() -> None:
    values = {"m": draw(1).random(10_000).tolist()}
    began = time.process_time()
    intervals(values, 1000, draw())
    seconds = time.process_time() - began
    tracemalloc.start()
    intervals(values, 1000, draw())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 3
    assert peak < 40e6, "all 10 million draws were held at once"


def test_a_client_has_the_mean_of_its_own_rows() -> None:
    values = {"iou": [0.5, 0.0, 1.0, 0.25], "hit": [1.0, 0.0, 1.0, 0.0]}
    assert share_means(values, [4, 2, 4, 2]) == {
        2: {"local_iou": 0.125, "local_hit": 0.0},
        4: {"local_iou": 0.75, "local_hit": 1.0},
    }


def test_mean_worst_and_population_deviation_over_the_clients_that_have_the_task() -> None:
    found = [
        {"vqa": {"local_accuracy": 0.2, "accuracy": 0.9}},
        {"vqa": {"local_accuracy": 0.8}, "detection": {"local_iou": 0.5}},
        {},
    ]
    assert over_clients(found) == {
        "vqa": {
            "local_clients": 2.0,
            "local_accuracy_mean": pytest.approx(0.5),
            "local_accuracy_worst": 0.2,
            "local_accuracy_std": pytest.approx(0.3),
        },
        "detection": {
            "local_clients": 1.0,
            "local_iou_mean": 0.5,
            "local_iou_worst": 0.5,
            "local_iou_std": 0.0,
        },
    }


def test_the_worst_of_what_should_be_small_is_the_largest() -> None:
    found = [{"detection": {"local_unparseable": value}} for value in (0.1, 0.4)]
    assert over_clients(found)["detection"]["local_unparseable_worst"] == 0.4


def test_no_shares_are_no_scores() -> None:
    assert over_clients([{"vqa": {"accuracy": 0.9}}]) == {}
