"""Natural groups: all rows that share a value of a field (a shape, an organ, a task) stay together.

With one client a group this is the benchmark's split of its multi-task sets, one task per client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedvlm_flwr.data.partitions.base import assign_iid, field_values, pictures
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.seeding import stream

if TYPE_CHECKING:
    from datasets import Dataset

Groups = Mapping[str, list[int]]  # row indices by value, values sorted


@dataclass(frozen=True)
class Params:
    """Which field makes the groups, and what more clients than groups do."""

    by: str
    """The field whose values are the groups (shape_color, subject, task, ...)."""
    split_groups: bool
    """With more clients than groups, cut each group by picture among its clients."""


def partition(table: Dataset, num_clients: int, seed: int, params: Params) -> list[list[int]]:
    """Sorted row indices for each client; clients follow the sorted order of their groups.

    Raises:
        ConfigError: unknown field; more clients than groups (or, with `split_groups`, more
            clients of a group than it has pictures).
    """
    values = field_values(table, params.by)
    groups: dict[str, list[int]] = {value: [] for value in sorted(set(values))}
    for row, value in enumerate(values):
        groups[value].append(row)
    if num_clients <= len(groups):
        return _assign_groups(groups, num_clients)
    if not params.split_groups:
        raise ConfigError(
            f"num_clients={num_clients} but {params.by} has {len(groups)} groups; lower "
            "num_clients, choose another partition.by, or set partition.split_groups=true."
        )
    return _split_groups(table, groups, num_clients, seed)


def _assign_groups(groups: Groups, num_clients: int) -> list[list[int]]:
    """Give whole groups, the largest first, each to the client with the fewest rows so far."""
    clients: list[list[str]] = [[] for _ in range(num_clients)]
    sizes = [0] * num_clients
    for value in sorted(groups, key=lambda value: (-len(groups[value]), value)):
        client = min(range(num_clients), key=lambda client: (sizes[client], client))
        clients[client].append(value)
        sizes[client] += len(groups[value])
    ordered = sorted(clients, key=min)
    return [sorted(row for value in values for row in groups[value]) for values in ordered]


def _split_groups(table: Dataset, groups: Groups, num_clients: int, seed: int) -> list[list[int]]:
    """Give each group equally many clients (the largest groups one more, if any are left)."""
    base, left = divmod(num_clients, len(groups))
    largest = sorted(groups, key=lambda value: (-len(groups[value]), value))[:left]
    parts: list[list[int]] = []
    for i, (value, rows) in enumerate(groups.items()):
        count = base + (value in largest)
        units = pictures(table, rows)
        if count > len(units):
            raise ConfigError(
                f"num_clients={num_clients} gives group '{value}' {count} clients, but it has "
                f"{len(units)} pictures; lower num_clients."
            )
        parts.extend(assign_iid(units, count, stream(seed, "partition", i)))
    return parts
