"""Who is tried for how long."""

import pytest

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.planning.halving import Rung, best, rungs_of, trials_of

SPACE = {"train.lr": [0.1, 0.2, 0.3], "algorithm.eta": [1, 2]}


def test_every_value_with_every_other():
    trials = trials_of(SPACE, 100, 0)
    assert len(trials) == len(set(trials)) == 6
    assert trials[0] == (("train.lr", 0.1), ("algorithm.eta", 1))


def test_a_larger_grid_is_drawn_from_by_the_seed():
    first, again, other = (trials_of(SPACE, 3, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 3 and set(first) < set(trials_of(SPACE, 100, 0))


@pytest.mark.parametrize("values", ["0.1", [], 0.1])
def test_a_key_without_a_list_is_refused(values):
    with pytest.raises(ConfigError, match=r"train\.lr=.* must be a list"):
        trials_of({"train.lr": values}, 10, 0)


@pytest.mark.parametrize(
    ("trials", "rounds", "fewest", "expected"),
    [
        (12, 8, 2, [(12, 2), (6, 4), (3, 8)]),
        (18, 20, 2, [(18, 2), (9, 3), (5, 5), (3, 10), (2, 20)]),
        (4, 8, 2, [(4, 4), (2, 8)]),
        (12, 8, 8, [(12, 8)]),
        (1, 8, 1, [(1, 8)]),
    ],
)
def test_half_go_on_with_twice_the_rounds(trials, rounds, fewest, expected):
    assert rungs_of(trials, rounds, fewest) == [Rung(*each) for each in expected]


def test_the_best_come_first_and_of_equal_ones_the_earlier():
    a, b, c = ((("x", i),) for i in range(3))
    assert best({a: 0.5, b: 0.7, c: 0.5}, 2) == [b, a]
