"""Validation records out of the training ones."""

from pathlib import Path

import pytest
from datasets import Dataset

from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.holding_out import with_validation


def data_of(pictures: list[str], validation: list[str] | None = None) -> FederatedData:
    def table(names: list[str]) -> Dataset:
        return Dataset.from_dict({"id": [str(i) for i in range(len(names))], "image": names})

    empty = table([])
    more = None if validation is None else table(validation)
    return FederatedData("x", Path(), lambda: empty, table(pictures), empty, validation=more)


def test_a_part_of_the_pictures_is_held_out_whole():
    names = [f"{i // 3}.png" for i in range(60)]  # three questions about each of 20
    data = with_validation(data_of(names), 0.25, 0)
    assert data.validation is not None
    held, rest = set(data.validation["image"]), set(data.train["image"])
    assert len(held) == 5 and len(rest) == 15 and not held & rest
    assert len(data.validation) == 15 and len(data.train) == 45


def test_it_is_drawn_by_the_seed():
    names = [f"{i}.png" for i in range(20)]
    first, again, other = (
        list(with_validation(data_of(names), 0.2, seed).validation["image"]) for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(("fraction", "count"), [(0.001, 1), (0.999, 3)])
def test_one_at_least_stays_on_either_side(fraction, count):
    data = with_validation(data_of(["a", "b", "c", "d"]), fraction, 0)
    assert len(data.validation) == count


def test_a_datasets_own_validation_records_stay():
    data = data_of(["a", "b"], validation=["c"])
    assert with_validation(data, 0.5, 0) is data


def test_of_one_picture_nothing_is_held_out():
    data = data_of(["a", "a"])
    assert with_validation(data, 0.5, 0) is data
