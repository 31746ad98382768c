import math

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from fedvlm_flwr.data.heterogeneity import LabelDistribution, label_distribution
from fedvlm_flwr.errors import ConfigError, DataError


def table(*organs: str | None) -> Dataset:
    return Dataset.from_dict({"id": [str(i) for i in range(len(organs))], "organ": list(organs)})


@pytest.mark.parametrize("clients", [1, 2, 3, 10])
def test_a_value_for_each_client_is_1_less_1_in_n(clients: int) -> None:
    organs = [f"organ {i}" for i in range(clients)]
    found = label_distribution(
        table(*organs * 4), [range(i, 4 * clients, clients) for i in range(clients)], "organ"
    )
    assert found.distances == pytest.approx([1 - 1 / clients] * clients)
    assert found.distance == pytest.approx(1 - 1 / clients)
    assert found.effective == pytest.approx([1.0] * clients)


def test_clients_like_the_pool_are_at_distance_0() -> None:
    data = table("lung", "liver", "lung", "liver", "liver", "lung")
    assert label_distribution(data, [[0, 1], [2, 3, 4, 5]], "organ").distance == pytest.approx(0)


def test_counts_and_distances_by_hand() -> None:
    # Pool: 4 of 6 lung. Client 0: all lung, |1 - 2/3| + |0 - 1/3| = 2/3, half of it 1/3.
    # Client 1: 1 of 2 lung, |1/2 - 2/3| + |1/2 - 1/3| = 1/3, half 1/6. Client 2: 0 lung, 2/3.
    data = table("lung", "lung", "lung", "lung", "liver", "liver")
    found = label_distribution(data, [[0, 1, 2], [3, 4], [5]], "organ")
    assert found.values == ["liver", "lung"]
    assert found.counts.tolist() == [[0, 3], [1, 1], [1, 0]]
    assert found.distances == pytest.approx([1 / 3, 1 / 6, 2 / 3])
    assert found.distance == pytest.approx((1 / 3 + 1 / 6 + 2 / 3) / 3)  # clients count equally
    assert found.effective == pytest.approx([1, 2, 1])


def test_effective_values_of_unequal_shares() -> None:
    found = LabelDistribution("organ", ["a", "b"], np.array([[3, 1]]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found.effective == pytest.approx([math.exp(entropy)])


@given(
    rows=st.lists(
        st.lists(st.integers(0, 30), min_size=3, max_size=3).filter(any), min_size=1, max_size=6
    )
)
def test_distances_lie_between_0_and_1_and_effective_values_between_1_and_all(
    rows: list[list[int]],
) -> None:
    found = LabelDistribution("organ", ["a", "b", "c"], np.array(rows))
    assert all(0 <= distance < 1 for distance in found.distances)
    assert all(1 - 1e-9 <= number <= 3 + 1e-9 for number in found.effective)
    doubled = LabelDistribution("organ", ["a", "b", "c"], 2 * np.array(rows))
    assert doubled.distances == pytest.approx(found.distances)


def test_an_unknown_field_lists_the_fields() -> None:
    with pytest.raises(ConfigError, match=r"--by=colour is no field .* choose one of: id, organ"):
        label_distribution(table("lung"), [[0]], "colour", "--by")


def test_a_record_without_a_value_is_named() -> None:
    with pytest.raises(DataError, match=r"Row 1 \(id '1'\) .* has no organ; .* another --by"):
        label_distribution(table("lung", ""), [[0, 1]], "organ", "--by")
