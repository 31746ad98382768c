"""What holds for every partition."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from fedvlm_flwr.config import Choice
from fedvlm_flwr.data import partitions
from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.partitions import iid, partition_table
from fedvlm_flwr.data.partitions.base import whole_numbers
from fedvlm_flwr.data.records import UNIT
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.plugins import available
from tests import choices
from tests.facts import declared

CONF = Path(__file__).parents[4] / "conf" / "partition"
PLACE, ALL = "tests.fedvlm_flwr.data.partitions", available("fedvlm_flwr.data.partitions")
# Parameters with which tables of organs can be dealt.
KINDS: dict[str, dict[str, Any]] = declared(PLACE, ALL, "PARAMS")
MAY_REFUSE = declared(PLACE, ALL, "MAY_REFUSE")  # a table of few or unlike organs
BY_A_FIELD = [kind for kind in KINDS if "by" in KINDS[kind]]


def table(organs: list[str], tasks: list[str], shuffled: bool = False) -> Dataset:
    """One picture for each of `organs`, one row for each of its tasks."""
    rows = [
        {"image": f"{i}.png", "organ": organ, "task": task, "conversations": [{"from": "human"}]}
        for i, organ in enumerate(organs)
        for task in tasks
    ]
    return Dataset.from_list(rows[::2] + rows[1::2] if shuffled else rows)


tables = st.builds(
    table,
    st.lists(st.sampled_from(["lung", "liver", "brain"]), min_size=4, max_size=40),
    st.sampled_from([["vqa"], ["vqa", "detection"], ["vqa", "vqa", "vqa"]]),
    st.booleans(),
)


def with_clients(data: Dataset, names: list[str]) -> Dataset:
    """The table with a client of its own for each row, as some files tell."""
    return data.add_column("client", names)


def attempt(kind: str, data: Dataset, num_clients: int, seed: int) -> list[list[int]] | None:
    """The parts, or None where the partition says that this table cannot be dealt so."""
    images = sorted(set(data["image"][:]))
    owners = [str(images.index(image) % num_clients) for image in data["image"][:]]
    data = with_clients(data, owners)
    try:
        return partition_table(choices.partition(kind, KINDS[kind]), data, num_clients, seed)
    except ConfigError:
        assert kind in MAY_REFUSE
        return None


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=tables, num_clients=st.integers(1, 4), seed=st.integers(0, 2**31 - 1))
def test_every_row_once_and_nobody_empty(
    kind: str, data: Dataset, num_clients: int, seed: int
) -> None:
    parts = attempt(kind, data, num_clients, seed)
    assume(parts is not None)
    assert parts is not None
    assert len(parts) == num_clients
    assert all(parts)
    assert all(part == sorted(part) for part in parts)
    assert sorted(row for part in parts for row in part) == list(range(len(data)))
    assert parts == attempt(kind, data, num_clients, seed)
    images = [{data[row]["image"] for row in part} for part in parts]
    assert sum(map(len, images)) == len(set(data["image"]))  # no picture in two parts


def test_every_kind_has_parameters_in_its_test() -> None:
    assert sorted(KINDS) == ALL


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_yaml_deals_the_default_dataset(
    path: Path, small_easyvqa: FederatedData
) -> None:
    values: Any = OmegaConf.to_container(OmegaConf.load(path))
    name = values.pop("name")
    assert name == path.stem
    table = small_easyvqa.train
    table = with_clients(table, [str(row % 4) for row in range(len(table))])
    parts = partition_table(choices.partition(values.pop("kind", name), values), table, 4, 0)
    assert sorted(row for part in parts for row in part) == list(range(len(table)))


@pytest.mark.parametrize(
    ("kind", "params", "clients", "why"),
    [
        ("iid", {}, 0, "num_clients=0 must be at least 1"),
        ("iid", {}, 7, "num_clients=7 but the training table has 6 pictures; lower .* to 6"),
        ("quantity_skew", {"alpha": 1.0}, 7, "num_clients=7 but .* 6 pictures; lower .* to 6"),
        ("dirichlet", {"alpha": 1.0, "by": "organ"}, 7, "num_clients=7 but .* 6 pictures; lower"),
        ("shards", {}, 2, f"partition 'shards'; choose one of: {', '.join(ALL)}"),
        ("base", {}, 2, "partition 'base'; choose one of"),
        ("iid", {"alpha": 1}, 2, r"Unknown key partition\.alpha"),
        ("dirichlet", {"alpha": 1.0}, 2, r"partition\.by is not set"),
        ("dirichlet", {"alpha": 1.0, "by": "color"}, 2, "one of: image, organ, task"),
        ("natural", {"by": "conversations", "split_groups": False}, 2, "image, organ, task"),
    ],
)
def test_what_cannot_be_dealt_is_refused(
    kind: str, params: dict[str, Any], clients: int, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        partition_table(choices.partition(kind, params), table(["lung"] * 6, ["vqa"]), clients, 0)


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("kind", BY_A_FIELD)
def test_a_row_without_a_value_is_named(kind: str, nothing: str | None) -> None:
    data = Dataset.from_dict({"id": ["a", "b"], "image": ["1", "2"], "organ": ["lung", nothing]})
    with pytest.raises(DataError, match=r"Row 1 \(id 'b'\) of the training table has no organ"):
        partition_table(choices.partition(kind, KINDS[kind]), data, 1, 0)


def test_quotas_are_rounded_to_their_sum_and_what_is_owed_is_given_later() -> None:
    assert whole_numbers([1.5, 2.25, 0.25]) == [2, 2, 0]
    assert whole_numbers([3.0, 0.0]) == [3, 0]
    assert whole_numbers([]) == []
    remainder = [0.0] * 4
    rounds = [whole_numbers([0.25] * 4, remainder) for _ in range(4)]
    assert rounds == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert remainder == [0.0] * 4


@given(
    weights=st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any),
    totals=st.lists(st.integers(0, 200), min_size=1, max_size=12),
)
def test_rounding_keeps_the_sum_and_the_quota(weights: list[int], totals: list[int]) -> None:
    remainder = [0.0] * len(weights)
    for total in totals:
        quotas = [total * weight / sum(weights) for weight in weights]
        whole = whole_numbers(quotas, remainder)
        assert sum(whole) == total
        assert all(abs(n - quota) < 1 for n, quota in zip(whole, quotas, strict=True))


@pytest.mark.parametrize("parts", [[[0, 1], []], [[0], [0, 1]], [[0], []], [[0, 1]]])
def test_a_broken_partition_is_caught(
    parts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = SimpleNamespace(Params=iid.Params, partition=lambda *_: parts)
    monkeypatch.setattr(partitions, "load_as", lambda *_: broken)
    with pytest.raises(DataError, match="Partition 'mine' made"):
        partition_table(
            Choice("mine", "mine", iid.Params()), table(["lung", "lung"], ["vqa"]), 2, 0
        )


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("natural", "task", "published")])
def test_what_is_kept_together_is_in_one_client(kind: str) -> None:
    data = table(["lung", "liver", "brain", "lung"] * 6, ["vqa"])
    groups = [f"patient {int(image.split('.')[0]) // 2}" for image in data["image"][:]]
    parts = attempt(kind, data.add_column(UNIT, groups), 3, 0)
    assert parts is not None
    owners = [{groups[row] for row in part} for part in parts]
    assert sum(map(len, owners)) == len(set(groups)) == 12


def test_a_partition_that_parts_what_is_kept_together_is_refused() -> None:
    data = table(["lung", "liver"] * 4, ["vqa"]).add_column(UNIT, ["one patient"] * 8)
    with pytest.raises(ConfigError, match=r"'natural' gives records of 'one patient'.*group_by"):
        partition_table(choices.partition("natural", KINDS["natural"]), data, 2, 0)
