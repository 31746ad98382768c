"""Items of sources become a dataset in the published layout."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.data.federated import examples
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.data.making import Assignment, Making, assign_items, sample
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.data.writing import write_dataset
from fedvlm_flwr.errors import ConfigError, DataError
from tests import choices
from tests.layout import picture, published_params


def item(i: int, split: str = "train", task: str = "vqa", organ: str = "Lung", **more: Any) -> Item:
    return Item(
        id=f"{task}-{i}",
        split=split,
        task=task,
        picture=more.pop("picture", Path("nowhere.png")),
        image=more.pop("image", f"slake/{i}.png"),
        question="which organ?",
        answer=organ,
        fields={"organ": organ},
    )


def making(by: str = "organ", clients: int | None = None) -> Making:
    return Making({}, by, clients, 0, {})


def organs(counts: dict[str, int], split: str, start: int = 0) -> list[Item]:
    names = [organ for organ, count in counts.items() for _ in range(count)]
    return [item(start + i, split, organ=organ) for i, organ in enumerate(names)]


def assign(items: list[Item], settings: Making) -> Assignment:
    return assign_items([("slake", one) for one in items], settings)


def test_each_value_is_a_client_and_test_records_follow_it() -> None:
    items = organs({"Lung": 3, "Head": 2}, "train") + organs({"Head": 2, "Lung": 1}, "test", 10)
    assignment = assign(items, making())
    whose = [
        (one.fields["organ"], k)
        for (_, one), k in zip(assignment.items, assignment.client, strict=True)
    ]
    assert set(whose) == {("Head", 0), ("Lung", 1)}
    assert assignment.counts() == [
        ("test", 0, "vqa", 2),
        ("test", 1, "vqa", 1),
        ("train", 0, "vqa", 2),
        ("train", 1, "vqa", 3),
    ]


def test_more_clients_than_values_share_the_largest_in_training_and_test() -> None:
    items = organs({"Lung": 8, "Head": 2}, "train") + organs({"Lung": 6, "Head": 1}, "test", 20)
    assignment = assign(items, making(clients=3))
    held = Counter(
        (one.split, one.fields["organ"], k)
        for (_, one), k in zip(assignment.items, assignment.client, strict=True)
    )
    assert held == {
        ("train", "Head", 0): 2,
        ("train", "Lung", 1): 4,
        ("train", "Lung", 2): 4,
        ("test", "Head", 0): 1,
        ("test", "Lung", 1): 3,
        ("test", "Lung", 2): 3,
    }


def test_a_value_nobody_trains_on_is_dealt_to_all() -> None:
    items = organs({"Lung": 2, "Head": 2}, "train") + organs({"Knee": 4}, "test", 10)
    assignment = assign(items, making())
    assert Counter(assignment.client[4:]) == {0: 2, 1: 2}


def test_one_task_a_client() -> None:
    tasks = ("vqa", "captioning")
    items = [item(i, s, t) for i, s in enumerate(("train", "train", "test")) for t in tasks]
    assignment = assign(items, making("task"))
    whose = {(one.task, k) for (_, one), k in zip(assignment.items, assignment.client, strict=True)}
    assert whose == {("captioning", 0), ("vqa", 1)}


def test_an_item_without_the_field_or_a_missing_split_is_refused() -> None:
    items = organs({"Lung": 2}, "train")
    with pytest.raises(DataError, match="no test record"):
        assign(items, making())
    with pytest.raises(DataError, match=r"Record vqa-0 has no site.*\(it has: organ, task\)"):
        assign([*items, item(5, "test")], making("site"))


def test_a_sample_is_of_each_task_and_split_and_repeats() -> None:
    items = [item(i, s, t) for i in range(20) for s in ("train", "test") for t in ("vqa", "report")]
    taken = sample(items, {"train": 5}, 0, "slake")
    assert Counter((one.split, one.task) for one in taken) == {
        ("train", "vqa"): 5,
        ("train", "report"): 5,
        ("test", "vqa"): 20,
        ("test", "report"): 20,
    }
    assert (
        taken == sample(items, {"train": 5}, 0, "slake") != sample(items, {"train": 5}, 1, "slake")
    )
    assert taken == [one for one in items if one in taken]
    with pytest.raises(ConfigError, match=r"limit\.val=3"):
        sample(items, {"val": 3}, 0, "slake")


def written(out: Path, items: list[Item]) -> Path:
    write_dataset(assign(items, making()), out, {"made": "here"}, lambda done, total: None)
    return out


@pytest.fixture
def pictured(tmp_path: Path) -> Callable[..., list[Item]]:
    def make() -> list[Item]:
        path = tmp_path / "raw" / "a.png"
        picture(path, (9, 9, 9))
        encoded = tmp_path / "b.png"
        picture(encoded, (8, 8, 8))
        return [
            item(0, picture=path),
            item(1, organ="Head", picture=encoded.read_bytes()),
            item(2, "test", picture=lambda: encoded.read_bytes() + b"\n"),
            item(3, "test", organ="Head", picture=tmp_path / "lost.png"),
        ]

    return make


def test_what_is_written_is_read_back(tmp_path: Path, pictured: Callable[..., list[Item]]) -> None:
    out = written(tmp_path / "out", pictured())
    assert json.loads((out / "counts.json").read_text()) == {"made": "here"}
    params = published_params(out, allow_errors=1)  # the picture that the source lacks
    data = load_data(choices.dataset("published", params))
    assert [e.id for e in examples(data.train, data.root)] == ["slake-vqa-1", "slake-vqa-0"]
    assert [e.id for e in examples(data.test, data.root)] == ["slake-vqa-2"]
    assert data.train["client"][:] == ["0", "1"]
    assert data.train["organ"][:] == ["Head", "Lung"]
    assert data.test["client"][:] == ["1"]
    assert (out / "image" / "slake" / "1.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_is_overwritten_and_half_a_dataset_is_none(
    tmp_path: Path, pictured: Callable[..., list[Item]]
) -> None:
    items = pictured()

    def broken() -> bytes:
        raise DataError("the volume is broken")

    failing = [*items, item(9, "test", picture=broken)]
    out = tmp_path / "out"
    with pytest.raises(DataError, match="the volume is broken"):
        written(out, failing)
    assert not out.exists()
    written(out, items)
    with pytest.raises(DataError, match="is there already"):
        written(out, items)
    assert not list(tmp_path.glob(".out*"))


def test_a_source_cannot_write_outside(tmp_path: Path, pictured: Callable[..., list[Item]]) -> None:
    items = [*pictured(), item(7, "test", image="../../x.png", picture=b"x")]
    with pytest.raises(DataError, match="outside"):
        written(tmp_path / "out", items)
