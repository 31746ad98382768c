"""Pathological label skew: each client holds exactly k of a field's values.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: Communication-Efficient Learning of Deep Networks
from fedvlm_flwr.settings import setting
from Decentralized Data (2017), https://arxiv.org/abs/1602.05629; Li, Diao, Chen, He: Federated
Learning on Non-IID Data Silos (2021), https://arxiv.org/abs/2102.02079 ("#C = k"). Which client
holds which values is settled evenly here, or as flwr-datasets does it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fedvlm_flwr.data.partitions.base import Units, assign, units_of
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.settings import setting

if TYPE_CHECKING:
    from datasets import Dataset

EVEN = "even"
ASSIGNMENTS = (EVEN, "random", "first-deterministic", "deterministic")


@dataclass(frozen=True)
class Params:
    """How many values a client holds, of which field, and who holds which."""

    by: str
    """The field whose values are assigned (color, manufacturer, organ, ...)."""
    classes_per_client: int = field(metadata=setting(least=1, most=1_000_000))
    """How many of them each client holds."""
    assignment: str = field(metadata=setting(choices=ASSIGNMENTS))
    """even: every value is held, by about equally many clients. The others are flwr-datasets':
    random, first-deterministic (the first value of client i is the i-th) and deterministic
    (client i holds the values from the i-th on); they may leave values out, which is refused."""


def partition(table: Dataset, num_clients: int, seed: int, params: Params) -> list[list[int]]:
    """Sorted row indices for each client.

    A picture's rows stay together where the field has one value a picture; where it has not (the
    task), rows are assigned singly.

    Raises:
        ConfigError: unknown field, fewer values than a client is to hold, values that nobody would
            hold, or more clients for a value than it has pictures.
    """
    units = units_of(table, params.by)
    by_value: dict[str, list[int]] = {value: [] for value in sorted(set(units.values))}
    for unit, value in enumerate(units.values):
        by_value[value].append(unit)
    if params.classes_per_client > len(by_value):
        raise ConfigError(
            f"partition.classes_per_client={params.classes_per_client} but {params.by} has "
            f"{len(by_value)} values; lower it."
        )
    generator = stream(seed, "partition")
    if params.assignment == EVEN:
        return _evenly(units, by_value, num_clients, params, generator)
    return _by_flower(units, by_value, num_clients, params, generator)


def _evenly(
    units: Units,
    by_value: Mapping[str, list[int]],
    num_clients: int,
    params: Params,
    generator: np.random.Generator,
) -> list[list[int]]:
    """Cut each value's shuffled units into equal parts, one for each client that holds it."""
    places = num_clients * params.classes_per_client
    if places < len(by_value):
        raise ConfigError(
            f"num_clients={num_clients} with partition.classes_per_client="
            f"{params.classes_per_client} hold {places} values at most, but {params.by} has "
            f"{len(by_value)}; raise one of the two."
        )
    parts: list[list[int]] = [[] for _ in range(num_clients)]
    for value, clients in _holders(by_value, num_clients, params, generator).items():
        shuffled = generator.permutation(by_value[value])
        for client, cut in zip(clients, np.array_split(shuffled, len(clients)), strict=True):
            parts[client] += [row for unit in cut for row in units.rows[unit]]
    return [sorted(part) for part in parts]


def _holders(
    by_value: Mapping[str, list[int]],
    num_clients: int,
    params: Params,
    generator: np.random.Generator,
) -> dict[str, list[int]]:
    """The clients of each value: each client takes those that the fewest hold so far."""
    holders: dict[str, list[int]] = {value: [] for value in by_value}
    for client in range(num_clients):
        free = [value for value in holders if len(holders[value]) < len(by_value[value])]
        if len(free) < params.classes_per_client:
            raise _too_small(num_clients, params)
        order = [free[i] for i in generator.permutation(len(free))]
        for value in sorted(order, key=lambda v: len(holders[v]))[: params.classes_per_client]:
            holders[value].append(client)
    return holders


def _by_flower(
    units: Units,
    by_value: Mapping[str, list[int]],
    num_clients: int,
    params: Params,
    generator: np.random.Generator,
) -> list[list[int]]:
    from flwr_datasets.partitioner import PathologicalPartitioner

    partitioner = PathologicalPartitioner(
        num_partitions=num_clients,
        partition_by="value",
        num_classes_per_partition=params.classes_per_client,
        class_assignment_mode=params.assignment,
        shuffle=False,
        seed=int(generator.integers(2**31)),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values left out, which are refused below
            parts = assign(partitioner, units, num_clients, generator)
    except ValueError as error:
        raise _too_small(num_clients, params) from error
    value_of = {
        row: value for value, members in by_value.items() for u in members for row in units.rows[u]
    }
    left = sorted(set(by_value) - {value_of[row] for part in parts for row in part})
    if left:
        raise ConfigError(
            f"partition.assignment={params.assignment} leaves {len(left)} values of {params.by} "
            f"without a client ('{left[0]}' is one); choose partition.assignment={EVEN} or raise "
            "partition.classes_per_client."
        )
    return parts


def _too_small(num_clients: int, params: Params) -> ConfigError:
    return ConfigError(
        f"With num_clients={num_clients} and partition.classes_per_client="
        f"{params.classes_per_client} a value of {params.by} would have more clients than "
        "pictures; lower one of the two or choose another partition.by."
    )
