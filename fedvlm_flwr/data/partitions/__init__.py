"""Partitions: one module each (`fedvlm_flwr.contracts.PartitionKind`), behind one checked call.

A module may also say whose the test records are (`Owning`). Without that they are assigned by the
field `by` of its `Params`, if it has one (`GoesBy`), see `fedvlm_flwr.data.clients`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedvlm_flwr.contracts import PartitionKind
from fedvlm_flwr.data.records import UNIT
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.plugins import load_as

if TYPE_CHECKING:
    from datasets import Dataset

    from fedvlm_flwr.config import Choice


def partition_kind(kind: str) -> PartitionKind[Any]:
    """The module of a partition.

    Raises:
        ConfigError: there is none, or it does not keep the contract.
    """
    return load_as(PartitionKind, __name__, kind, "partition")


def partition_table(
    choice: Choice[Any], table: Dataset, num_clients: int, seed: int
) -> list[list[int]]:
    """Assign the rows of a table to clients.

    Args:
        choice: of a module here.
        table: records with an `image` column.
        num_clients: how many parts to make.
        seed: the configured seed; the same one gives the same parts.

    Returns:
        For each client the sorted row indices of its part; every row is in exactly one part, and
        no part is empty.

    Raises:
        ConfigError: an unknown field, or numbers that the table cannot satisfy.
    """
    if num_clients < 1:
        raise ConfigError(f"num_clients={num_clients} must be at least 1; raise it.")
    parts = partition_kind(choice.kind).partition(table, num_clients, seed, choice.params)
    _check(parts, len(table), num_clients, choice.kind)
    _check_units(parts, table, choice.kind)
    return parts


def _check_units(parts: list[list[int]], table: Dataset, kind: str) -> None:
    """Refuse a partition that parts what the dataset keeps together."""
    if UNIT not in table.column_names:
        return
    units = table[UNIT][:]
    owner: dict[str, int] = {}
    for client, rows in enumerate(parts):
        for row in rows:
            if owner.setdefault(units[row], client) != client:
                raise ConfigError(
                    f"Partition '{kind}' gives records of '{units[row]}', which dataset.group_by "
                    f"keeps together, to the clients {owner[units[row]]} and {client}; choose "
                    "another partition, or set dataset.group_by=null."
                )


def _check(parts: list[list[int]], rows: int, num_clients: int, kind: str) -> None:
    """Hold a partition, a user's own one included, to its promise."""
    all_rows = sorted(row for part in parts for row in part)
    if len(parts) != num_clients or not all(parts) or all_rows != list(range(rows)):
        raise DataError(
            f"Partition '{kind}' made {len(parts)} parts of {len(all_rows)} rows, "
            f"{sum(not part for part in parts)} of them empty, for {num_clients} clients and "
            f"{rows} rows; mend its `partition` so that every row is in exactly one part."
        )
