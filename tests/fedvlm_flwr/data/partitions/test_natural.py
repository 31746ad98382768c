"""Whole groups, balanced by their rows."""

import pytest
from datasets import Dataset

from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.errors import ConfigError
from tests import choices

PARAMS = {"by": "organ", "split_groups": True}
MAY_REFUSE = True

WHOLE = {"by": "organ", "split_groups": False}
TASKS = {"by": "task", "split_groups": True}
AGES = {"by": "age", "split_groups": False}


def organs(*names: str) -> Dataset:
    return Dataset.from_list([{"image": str(i), "organ": name} for i, name in enumerate(names)])


def tasks(pictures: int, *names: str) -> Dataset:
    rows = [{"image": str(i), "task": name} for i in range(pictures) for name in names]
    return Dataset.from_list(rows)


def test_a_client_for_each_group_in_sorted_order() -> None:
    data = organs("lung", "brain", "lung", "liver", "lung")
    assert partition_table(choices.partition("natural", WHOLE), data, 3, 0) == [[1], [3], [0, 2, 4]]


def test_groups_are_dealt_to_balance_rows() -> None:
    # Sizes a 4, b 3, c 2, d 1. The largest first: a | b, then c joins b (3 < 4), then d joins a.
    data = organs(*"aaaabbbccd")
    assert partition_table(choices.partition("natural", WHOLE), data, 2, 0) == [
        [0, 1, 2, 3, 9],
        [4, 5, 6, 7, 8],
    ]


def test_more_clients_than_groups_says_how_many_groups_there_are() -> None:
    with pytest.raises(ConfigError, match="num_clients=3 but organ has 2 groups"):
        partition_table(choices.partition("natural", WHOLE), organs("lung", "brain", "lung"), 3, 0)


def test_one_task_for_each_client() -> None:
    parts = partition_table(choices.partition("natural", TASKS), tasks(3, "vqa", "caption"), 2, 0)
    assert parts == [[1, 3, 5], [0, 2, 4]]  # caption, vqa


def test_every_task_is_split_by_picture_among_two_clients() -> None:
    data = tasks(10, "vqa", "vqa", "caption")
    parts = partition_table(choices.partition("natural", TASKS), data, 4, 0)
    assert [{data[row]["task"] for row in part} for part in parts] == [
        {"caption"},
        {"caption"},
        {"vqa"},
        {"vqa"},
    ]
    pictures = [{data[row]["image"] for row in part} for part in parts]
    assert [len(held) for held in pictures] == [5, 5, 5, 5]
    assert not pictures[2] & pictures[3]
    assert parts != partition_table(choices.partition("natural", TASKS), data, 4, 1)


def test_the_largest_group_gets_the_client_left_over() -> None:
    data = organs(*["lung"] * 6, *["brain"] * 4)
    parts = partition_table(
        choices.partition("natural", {"by": "organ", "split_groups": True}), data, 3, 0
    )
    assert [len(part) for part in parts] == [4, 3, 3]


def test_a_group_too_small_for_its_clients_is_named() -> None:
    data = organs(*["lung"] * 6, "brain")
    with pytest.raises(ConfigError, match="group 'brain' 2 clients, but it has 1 pictures"):
        partition_table(
            choices.partition("natural", {"by": "organ", "split_groups": True}), data, 4, 0
        )


def test_numbers_are_in_their_order_and_a_client_has_a_range() -> None:
    ages = ["9", "10", "100", "30", "8.5", "31", "32", "29"]
    data = Dataset.from_dict(
        {"image": [f"{i}.png" for i in range(len(ages))], "age": ages, "task": ["vqa"] * len(ages)}
    )
    for clients in range(1, len(ages) + 1):
        parts = partition_table(choices.partition("natural", AGES), data, clients, 0)
        owned = [sorted(float(ages[row]) for row in part) for part in parts]
        assert [age for own in owned for age in own] == sorted(map(float, ages))
        assert max(map(len, owned)) - min(map(len, owned)) <= 1
