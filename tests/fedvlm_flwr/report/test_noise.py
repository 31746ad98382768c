"""When two rows can be told apart."""

import math

import pytest

from fedvlm_flwr.report.noise import clear_best, paired_p, t_tail


@pytest.mark.parametrize(
    ("t", "freedom"),
    [(12.706, 1), (4.303, 2), (3.182, 3), (2.776, 4), (2.571, 5), (2.262, 9), (2.042, 30)],
)
def test_the_tail_is_that_of_printed_tables(t: float, freedom: int) -> None:
    """The two-sided 5 % points, printed to three decimals."""
    assert t_tail(t, freedom) == pytest.approx(0.05, abs=2e-4)
    assert t_tail(-t, freedom) == t_tail(t, freedom)
    assert t_tail(0, freedom) == 1


def test_a_paired_difference_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3), two degrees of freedom."""
    # of two degrees the tail is 1 - t / sqrt(t^2 + 2)
    t = 2 * math.sqrt(3)
    assert paired_p([2, 4, 6], [1, 2, 3]) == pytest.approx(1 - t / math.sqrt(t * t + 2))


def test_what_never_differs_is_no_difference_and_what_always_does_is_one() -> None:
    assert paired_p([1, 2, 3], [1, 2, 3]) == 1
    assert paired_p([1.5, 2.5, 3.5], [1, 2, 3]) == 0
    assert paired_p([float("nan"), 2], [1, 2]) == 1


def by_seed(*values: float) -> dict[str, float]:
    return {str(seed): value for seed, value in enumerate(values)}


def test_the_best_row_is_named_only_beyond_the_noise() -> None:
    clear = {"a": by_seed(0.90, 0.91, 0.92), "b": by_seed(0.5, 0.52, 0.51)}
    assert clear_best(clear) == "a"
    assert clear_best(clear | {"c": by_seed(0.9, 0.95, 0.8)}) is None
    assert clear_best({"a": by_seed(0.9, 0.5, 0.7), "b": by_seed(0.6, 0.7, 0.5)}) is None


def test_too_few_common_seeds_tell_nothing() -> None:
    assert clear_best({"a": by_seed(0.9, 0.9), "b": by_seed(0.1, 0.1)}) is None
    other = {"7": 0.1, "8": 0.1, "9": 0.1}
    assert clear_best({"a": by_seed(0.9, 0.91, 0.9), "b": other}) is None
    assert clear_best({"a": by_seed(0.9, 0.91, 0.9)}) is None
    assert clear_best({"a": by_seed(0.9, 0.91, 0.9), "b": {}}) is None
