"""Each client's own share of the global test set."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvlm_flwr.config import Choice, compose
from fedvlm_flwr.data.clients import assign_alike, assign_test, field_of
from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.plugins import available
from fedvlm_flwr.process import Process
from tests import choices
from tests.facts import declared

ORGANS = ["brain", "heart", "liver", "lung"]


def table(organs: list[str], tasks: list[str], owners: list[str] | None = None) -> Dataset:
    """One picture for each of `organs`, one row for each of its tasks."""
    rows = [
        {
            "image": f"{i}.png",
            "organ": organ,
            "task": task,
            "client": "" if owners is None else owners[i % len(owners)],
        }
        for i, organ in enumerate(organs)
        for task in tasks
    ]
    return Dataset.from_list(rows)


def whole(train: Dataset, test: Dataset) -> FederatedData:
    return FederatedData("mine", Path(), lambda: train.select([]), train, test)


# Each as its own test says it can deal tables of organs, and by task.
ALL = available("fedvlm_flwr.data.partitions")
PARAMS = declared("tests.fedvlm_flwr.data.partitions", ALL, "PARAMS")
KINDS = [
    *(choices.partition(kind, params) for kind, params in PARAMS.items()),
    choices.partition("natural", {"by": "task", "split_groups": True}),
]


@pytest.mark.parametrize("partition", KINDS, ids=lambda kind: f"{kind.name}-{field_of(kind)}")
@settings(max_examples=25, deadline=None)
@given(
    organs=st.lists(st.sampled_from([*ORGANS, "spleen"]), max_size=30),
    owners=st.lists(st.sampled_from(["", "0", "1", "2"]), min_size=1, max_size=4),
    tasks=st.sampled_from([["vqa"], ["vqa", "detection"]]),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_test_record_is_in_exactly_one_share(
    partition: Choice[Any], organs: list[str], owners: list[str], tasks: list[str], seed: int
) -> None:
    train = table(ORGANS * 6, ["vqa", "detection"], ["0", "1", "2"])
    test = table(organs, tasks, owners) if organs else train.select([])
    shares = partition_table(partition, train, 3, seed)
    parts = assign_test(partition, whole(train, test), shares, seed)
    assert len(parts) == 3
    assert all(part == sorted(part) for part in parts)
    assert sorted(row for part in parts for row in part) == list(range(len(test)))
    assert parts == assign_test(partition, whole(train, test), shares, seed)
    if field_of(partition) != "task" and partition.kind != "published":
        images = [{test[row]["image"] for row in part} for part in parts]
        assert sum(map(len, images)) == len(set(test["image"][:]))  # no picture in two shares


def test_a_share_is_distributed_like_the_training_records() -> None:
    # Client 0 trains on 3 of 4 lungs, client 1 on the other and on all livers.
    train = table(["lung"] * 4 + ["liver"] * 4, ["vqa"])
    test = table(["lung"] * 8 + ["liver"] * 5, ["vqa"])
    parts = assign_alike(train, [[0, 1, 2], [3, 4, 5, 6, 7]], test, "organ", 0)
    found = [Counter(test[row]["organ"] for row in part) for part in parts]
    assert found == [{"lung": 6}, {"lung": 2, "liver": 5}]


def test_a_value_that_nobody_trains_on_goes_by_all_training_records() -> None:
    train = table(["lung"] * 3 + ["liver"] * 1, ["vqa"])
    test = table(["brain"] * 8, ["vqa"])
    parts = assign_alike(train, [[0, 1, 2], [3]], test, "organ", 0)
    assert [len(part) for part in parts] == [6, 2]


def test_without_a_field_pictures_go_by_the_numbers_of_records() -> None:
    train = table(["lung"] * 4, ["vqa", "detection"])
    test = table(["lung"] * 10, ["vqa", "detection"])
    parts = assign_alike(train, [[0, 1], [2, 3, 4, 5, 6, 7]], test, None, 0)
    # Quarters of 10 pictures, 2.5 and 7.5: the first of equal remainders is rounded up.
    assert [len(part) for part in parts] == [6, 14]


def test_many_rare_values_are_spread_evenly() -> None:
    # One test picture for each of 40 values that both clients hold equally: 20 each, not 40 and 0.
    organs = [f"organ {i}" for i in range(40)]
    train = table(organs * 2, ["vqa"])
    parts = assign_alike(train, [range(40), range(40, 80)], table(organs, ["vqa"]), "organ", 0)
    assert [len(part) for part in parts] == [20, 20]


def test_who_gets_which_picture_depends_on_the_seed() -> None:
    train, test = table(["lung"] * 4, ["vqa"]), table(["lung"] * 20, ["vqa"])
    first, other = (assign_alike(train, [[0, 1], [2, 3]], test, "organ", s) for s in (0, 1))
    assert [len(part) for part in first] == [10, 10]
    assert first != other


def test_published_shares_are_as_the_files_say() -> None:
    train = table(["lung"] * 4, ["vqa"], ["7", "3"])
    test = table(["lung"] * 5, ["vqa"], ["3", "3", "7"])
    parts = assign_test(choices.partition("published", {}), whole(train, test), [[1, 3], [0, 2]], 0)
    assert parts == [[0, 1, 3, 4], [2]]


def test_records_of_no_file_go_to_the_clients_of_their_task() -> None:
    train = table(["lung"] * 2, ["detection", "vqa"])
    test = table(["lung"] * 3, ["vqa", "detection"])
    parts = assign_test(choices.partition("published", {}), whole(train, test), [[0, 2], [1, 3]], 0)
    assert [{test[row]["task"] for row in part} for part in parts] == [{"detection"}, {"vqa"}]


def test_a_test_table_that_lacks_the_field_or_a_value_is_refused() -> None:
    train = table(["lung"] * 4, ["vqa"])
    with pytest.raises(ConfigError, match="by=organ is no field of the test table; choose one of"):
        assign_alike(train, [[0], [1, 2, 3]], train.remove_columns("organ"), "organ", 0)
    with pytest.raises(DataError, match="Row 1 of the test table has no organ"):
        assign_alike(train, [[0], [1, 2, 3]], table(["lung", ""], ["vqa"]), "organ", 0)


def test_the_configured_shares_are_made_once_and_follow_the_seed() -> None:
    words = "dataset.train_pictures=30 dataset.test_pictures=20 num_clients=3 partition=dirichlet"
    configs = [compose({"overrides": f"{words} partition.by=shape seed={s}"}) for s in (0, 1)]
    process = Process()
    shares = [process.test_shares(config) for config in configs]
    assert process.test_shares(configs[0]) is shares[0] != shares[1]
    assert process.shares(configs[0]) is not shares[0]
    test = process.data(configs[0]).test
    assert sorted(row for part in shares[0] for row in part) == list(range(len(test)))
