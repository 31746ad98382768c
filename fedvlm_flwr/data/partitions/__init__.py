"""Partitions: one module each, with `Params` and `partition`, behind one checked call.

A module may also say whose the test records are, with `owners(train, test)`: for each row of the
test table a client or None. Without it they are dealt by the field `by` of its `Params`, if it has
one, see `fedvlm_flwr.data.clients`.
"""

from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.plugins import load_module


def partition_table(
    kind: str, params: Mapping[str, Any], table: Dataset, num_clients: int, seed: int
) -> list[list[int]]:
    """Deal the rows of a table to clients.

    Args:
        kind: a module of `fedvlm_flwr.data.partitions`.
        params: the values of its `Params`, without `name` and `kind`.
        table: records with an `image` column.
        num_clients: how many parts to make.
        seed: the configured seed; the same one gives the same parts.

    Returns:
        For each client the sorted row indices of its part; every row is in exactly one part, and
        no part is empty.

    Raises:
        ConfigError: unknown kind, key or field, or numbers that the table cannot satisfy.
    """
    module = load_module("fedvlm_flwr.data.partitions", kind, "partition")
    settings = typed(module.Params, params, "partition")
    if num_clients < 1:
        raise ConfigError(f"num_clients={num_clients} must be at least 1; raise it.")
    parts: list[list[int]] = module.partition(table, num_clients, seed, settings)
    _check(parts, len(table), num_clients, kind)
    return parts


def _check(parts: list[list[int]], rows: int, num_clients: int, kind: str) -> None:
    """Hold a partition, a user's own one included, to its promise."""
    dealt = sorted(row for part in parts for row in part)
    if len(parts) != num_clients or not all(parts) or dealt != list(range(rows)):
        raise DataError(
            f"Partition '{kind}' made {len(parts)} parts of {len(dealt)} rows, "
            f"{sum(not part for part in parts)} of them empty, for {num_clients} clients and "
            f"{rows} rows; mend its `partition` so that every row is in exactly one part."
        )
