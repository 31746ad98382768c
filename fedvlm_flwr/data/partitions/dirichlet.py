"""Label skew: each value of a field is spread over the clients in Dirichlet-drawn shares.

Hsu, Qi, Brown: Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification (2019), https://arxiv.org/abs/1909.06335; drawn by flwr-datasets.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedvlm_flwr.data.partitions.base import assign, field_values, unit_names, units_of
from fedvlm_flwr.data.records import UNIT
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.settings import setting

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Params:
    """How uneven the clients are, and in what."""

    alpha: float = field(metadata=setting(least=1e-3, most=1e6))
    """Concentration: near 0 each value sits with one client, at 100 the parts are almost IID."""
    by: str
    """The field whose values are spread (shape, color, shape_color, ...)."""


def partition(table: Dataset, num_clients: int, seed: int, params: Params) -> list[list[int]]:
    """Sorted row indices for each client.

    A picture's rows stay together where the field has one value a picture; where it has not (the
    task), rows are assigned singly.

    Raises:
        ConfigError: unknown field, one whose values the dataset keeps together, or a client stays
            empty in each of flwr-datasets' draws.
    """
    from flwr_datasets.partitioner import DirichletPartitioner

    generator = stream(seed, "partition")
    partitioner = DirichletPartitioner(
        num_partitions=num_clients,
        partition_by="value",
        alpha=params.alpha,
        min_partition_size=1,
        shuffle=False,
        seed=int(generator.integers(2**31)),
    )
    units = units_of(table, params.by)
    if UNIT in table.column_names and field_values(table, params.by) == unit_names(table):
        raise ConfigError(
            f"partition.by={params.by} is what dataset.group_by keeps together, so that no value "
            "of it can be spread over clients; set partition.by to another field, or assign whole "
            "values with partition=natural or partition=iid."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one a draw that leaves a client empty
            return assign(partitioner, units, num_clients, generator)
    except ValueError as error:
        raise ConfigError(
            f"With partition.alpha={params.alpha} and num_clients={num_clients} every draw leaves "
            "a client without a picture; raise partition.alpha or lower num_clients."
        ) from error
