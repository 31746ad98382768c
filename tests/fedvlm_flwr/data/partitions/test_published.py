"""Clients as the files say."""

import pytest
from datasets import Dataset

from fedvlm_flwr.data.partitions import partition_table, published
from fedvlm_flwr.errors import ConfigError, DataError
from tests import choices

PARAMS: dict[str, object] = {}


def table(*clients: str | None) -> Dataset:
    rows = [{"id": f"r{i}", "image": str(i), "client": name} for i, name in enumerate(clients)]
    return Dataset.from_list(rows)


def parts_of(data: Dataset, clients: int) -> list[list[int]]:
    return partition_table(choices.partition("published", {}), data, clients, 0)


def test_each_client_has_its_files_records() -> None:
    assert parts_of(table("1", "0", "1", "2"), 3) == [[1], [0, 2], [3]]


def test_clients_follow_their_numbers_and_then_their_names() -> None:
    # Files may count from 1, and 10 comes after 9.
    assert parts_of(table("10", "9", "1"), 3) == [[2], [1], [0]]
    assert parts_of(table("Ulm", "Bonn", "7"), 3) == [[2], [1], [0]]


def test_a_picture_may_be_with_two_clients() -> None:
    data = Dataset.from_dict({"image": ["a", "a"], "client": ["0", "1"]})
    assert parts_of(data, 2) == [[0], [1]]


@pytest.mark.parametrize("clients", [1, 2, 4, 50])
def test_another_number_of_clients_is_refused_with_the_right_one(clients: int) -> None:
    with pytest.raises(ConfigError, match=f"num_clients={clients} but .* set num_clients=3 or"):
        parts_of(table("0", "1", "2", "2"), clients)


def test_a_table_that_does_not_tell_clients_says_what_to_use_instead() -> None:
    for data in (table("", ""), table("0", "1").remove_columns("client")):
        with pytest.raises(ConfigError, match=r"choose partition=iid, or .*one of: id, image\.$"):
            parts_of(data, 2)


@pytest.mark.parametrize("nothing", ["", None])
def test_a_record_without_a_client_is_named(nothing: str | None) -> None:
    with pytest.raises(DataError, match=r"Row 1 \(id 'r1'\) of the training table has no client"):
        parts_of(table("0", nothing, "1"), 2)


def test_test_records_are_whose_the_files_say() -> None:
    train = table("3", "10", "3")
    assert published.owners(train, table("10", "", "3", None)) == [1, None, 0, None]
    assert published.owners(train, table("", "")) == [None, None]
    assert published.owners(train, table("3").remove_columns("client")) == [None]


def test_a_test_record_of_an_unknown_client_is_named() -> None:
    with pytest.raises(
        DataError, match=r"Row 1 of the test table is client 4's, .* that have: 0, 1"
    ):
        published.owners(table("0", "1"), table("0", "4"))
