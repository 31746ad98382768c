"""Exactly so many values a client."""

from collections import Counter
from typing import Any

import pytest
from datasets import Dataset

from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.errors import ConfigError
from tests import choices

PARAMS = {"by": "organ", "classes_per_client": 2, "assignment": "even"}
MAY_REFUSE = True


def table(**pictures: int) -> Dataset:
    """So many pictures of each organ, with a question and a box each."""
    names = [name for name, count in pictures.items() for _ in range(count)]
    rows = [
        {"image": str(i), "organ": name, "task": task}
        for i, name in enumerate(names)
        for task in ("vqa", "detection")
    ]
    return Dataset.from_list(rows)


def params(classes: int, assignment: str = "even", by: str = "organ") -> dict[str, Any]:
    return {"by": by, "classes_per_client": classes, "assignment": assignment}


def held(data: Dataset, parts: list[list[int]], by: str = "organ") -> list[set[str]]:
    return [{data[row][by] for row in part} for part in parts]


SIX = table(brain=12, heart=12, kidney=12, liver=12, lung=12, spleen=12)


@pytest.mark.parametrize("seed", range(5))
def test_each_client_holds_k_values_and_each_value_equally_many_clients(seed: int) -> None:
    parts = partition_table(choices.partition("pathological", params(3)), SIX, 4, seed)
    found = held(SIX, parts)
    assert [len(values) for values in found] == [3] * 4
    # 4 clients with 3 values each are 12 places for 6 values: 2 clients a value.
    assert set(Counter(value for values in found for value in values).values()) == {2}
    # A value's 12 pictures of 2 rows are cut among 2 clients: 3 values of 12 rows each.
    assert [len(part) for part in parts] == [36] * 4


def test_who_holds_what_depends_on_the_seed() -> None:
    parts = [
        partition_table(choices.partition("pathological", params(2)), SIX, 3, seed)
        for seed in (0, 0, 1)
    ]
    assert parts[0] == parts[1] != parts[2]
    assert held(SIX, parts[0]) != held(SIX, parts[2])


def test_a_value_has_no_more_clients_than_pictures() -> None:
    data = table(brain=1, lung=20, liver=20)
    found = held(data, partition_table(choices.partition("pathological", params(2)), data, 6, 0))
    assert sum("brain" in values for values in found) == 1
    assert [len(values) for values in found] == [2] * 6


def test_flowers_deterministic_assignment() -> None:
    # Client i holds the i-th value and the next: brain heart, heart kidney, ..., spleen brain.
    found = held(
        SIX,
        partition_table(choices.partition("pathological", params(2, "deterministic")), SIX, 6, 0),
    )
    order = ["brain", "heart", "kidney", "liver", "lung", "spleen"]
    assert found == [{order[i], order[(i + 1) % 6]} for i in range(6)]


def test_flowers_first_deterministic_assignment() -> None:
    parts = partition_table(
        choices.partition("pathological", params(2, "first-deterministic")), SIX, 6, 0
    )
    found = held(SIX, parts)
    order = ["brain", "heart", "kidney", "liver", "lung", "spleen"]
    assert all(order[i] in values and len(values) == 2 for i, values in enumerate(found))


def test_flowers_random_assignment_follows_the_seed() -> None:
    parts = [
        partition_table(choices.partition("pathological", params(5, "random")), SIX, 4, s)
        for s in (1, 1, 2)
    ]
    assert parts[0] == parts[1] != parts[2]
    assert [len(values) for values in held(SIX, parts[0])] == [5] * 4


def test_rows_are_dealt_singly_by_task() -> None:
    parts = partition_table(choices.partition("pathological", params(1, by="task")), SIX, 2, 0)
    assert sorted(map(sorted, held(SIX, parts, "task"))) == [["detection"], ["vqa"]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "clients", "why"),
    [
        (params(0), 2, "classes_per_client=0 must be in"),
        (params(7), 2, "classes_per_client=7 but organ has 6 values; lower it"),
        (params(2), 2, "hold 4 values at most, but organ has 6; raise one"),
        (params(2, "dice"), 3, "assignment='dice' is unknown; choose one of: even, random"),
        (params(2, "deterministic"), 2, "leaves 3 values of organ without a client .'liver' is"),
        (params(6), 13, "would have more clients than pictures; lower"),
        (params(6, "deterministic"), 13, "would have more clients than pictures; lower"),
    ],
)
def test_what_cannot_be_dealt_says_what_to_change(
    values: dict[str, Any], clients: int, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        partition_table(choices.partition("pathological", values), SIX, clients, 0)
