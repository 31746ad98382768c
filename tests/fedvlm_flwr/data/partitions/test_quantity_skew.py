"""Unequally many pictures a client."""

from collections import Counter

import pytest
from datasets import Dataset

from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.errors import ConfigError
from tests import choices

PARAMS = {"alpha": 0.3}


def table(pictures: int) -> Dataset:
    """`pictures` of two organs in turn, two rows each."""
    names = [("lung", "liver")[i % 2] for i in range(pictures)]
    rows = [{"image": str(i), "organ": name} for i, name in enumerate(names) for _ in range(2)]
    return Dataset.from_list(rows)


def parts_of(data: Dataset, alpha: float, clients: int, seed: int = 0) -> list[list[int]]:
    return partition_table(
        choices.partition("quantity_skew", {"alpha": alpha}), data, clients, seed
    )


def test_a_small_alpha_is_more_unequal_than_a_large_one() -> None:
    data = table(400)
    sizes = {alpha: [len(part) for part in parts_of(data, alpha, 4)] for alpha in (0.1, 1e6)}
    assert max(sizes[1e6]) - min(sizes[1e6]) <= 8  # of 200
    assert max(sizes[0.1]) > 400


def test_the_content_is_that_of_the_pool() -> None:
    data = table(600)
    for part in parts_of(data, 1.0, 4, seed=3):
        if len(part) > 100:
            share = Counter(data[row]["organ"] for row in part)["lung"] / len(part)
            assert 0.35 < share < 0.65


@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_everybody_has_a_picture_however_small_alpha_is(alpha: float) -> None:
    for seed in range(5):
        parts = parts_of(table(30), alpha, 8, seed)
        assert min(len(part) for part in parts) >= 2
        assert sum(len(part) for part in parts) == 60


def test_as_many_clients_as_pictures_have_one_each() -> None:
    assert [len(part) for part in parts_of(table(5), 0.5, 5)] == [2] * 5


def test_sizes_depend_on_the_seed() -> None:
    data = table(50)
    first, again, other = (parts_of(data, 1.0, 3, seed) for seed in (0, 0, 1))
    assert first == again
    assert sorted(map(len, first)) != sorted(map(len, other))


@pytest.mark.parametrize("alpha", [0, -1.0, float("inf"), float("nan")])
def test_alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match=r"partition\.alpha=.* must be in"):
        parts_of(table(10), alpha, 2)
