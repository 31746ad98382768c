"""The running weighted mean."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from strategies.core.running_mean import RunningMean

numbers = hnp.arrays(
    np.float32, (2, 3), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
)
replies = st.lists(st.tuples(numbers, st.integers(1, 100_000)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=100)
@given(replies.flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))))
def test_equals_the_batch_mean_in_any_order_of_arrival(
    orders: tuple[list[tuple[NDArray[np.float32], int]], list[tuple[NDArray[np.float32], int]]],
) -> None:
    sent, arrived = orders
    running = RunningMean()
    for values, weight in arrived:
        running.add({"w": values}, weight)
    stacked = np.stack([values for values, _ in sent]).astype(np.float64)
    weights = [weight for _, weight in sent]
    expected = np.average(stacked, axis=0, weights=weights)
    scale = max(1.0, float(np.abs(stacked).max()))
    result = running.result()["w"]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-9 * scale)
    assert running.count == len(sent)
    assert running.weight == sum(weights)


def test_by_hand() -> None:
    mean = RunningMean()
    mean.add({"a": np.array([1.0, 2.0], np.float32), "b": np.array(8, np.float32)}, 1)
    mean.add({"a": np.array([5.0, -2.0], np.float32), "b": np.array(0, np.float32)}, 3)
    result = mean.result()
    np.testing.assert_array_equal(result["a"], [4.0, -1.0])
    np.testing.assert_array_equal(result["b"], 2.0)
    assert isinstance(result["b"], np.ndarray)  # a scalar could not be saved


def test_one_reply_is_its_own_mean() -> None:
    values = np.array([0.1, 1e-30, 3e38], np.float32)
    mean = RunningMean()
    mean.add({"a": values}, 7)
    np.testing.assert_allclose(mean.result()["a"], values, rtol=1e-7)


def test_many_large_weights_stay_exact() -> None:
    mean = RunningMean()
    for _ in range(1000):
        mean.add({"a": np.array([16_777_217 / 16], np.float32)}, 16_777_217)
    assert mean.result()["a"][0] == np.float32(16_777_217 / 16)


def test_what_was_added_is_not_kept_nor_changed() -> None:
    values = np.array([1.0], np.float32)
    mean = RunningMean()
    mean.add({"a": values}, 2)
    values[0] = 100.0
    mean.add({"a": np.array([3.0], np.float32)}, 2)
    np.testing.assert_array_equal(mean.result()["a"], [2.0])
    np.testing.assert_array_equal(values, [100.0])


def test_empty() -> None:
    mean = RunningMean()
    assert (mean.result(), mean.count, mean.weight) == ({}, 0, 0.0)


@pytest.mark.parametrize("num_replies", [2, 40])
def test_memory_does_not_grow_with_the_number_of_replies(num_replies: int) -> None:
    size, mean = 250_000, RunningMean()  # 1 MB of float32
    values = np.ones(size, np.float32)
    tracemalloc.start()
    try:
        for _ in range(num_replies):
            mean.add({"a": values.copy()}, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6e6  # the float64 sum, one float64 product, two replies
