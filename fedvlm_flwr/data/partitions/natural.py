"""Natural groups: all rows that share a value of a field (a shape, an organ, a task) stay together.

With one client a group this is the benchmark's split of its multi-task sets, one task per client.
Where all values are numbers (an age, a year) they are in the order of numbers, and a client with
several of them has a range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
    groups: dict[str, list[int]] = {value: [] for value in _in_order(set(values))}
    for row, value in enumerate(values):
        groups[value].append(row)
    if num_clients <= len(groups):
        if all(map(_is_number, groups)):
            return _assign_ranges(groups, num_clients)
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


def _assign_ranges(groups: Groups, num_clients: int) -> list[list[int]]:
    """Give each client neighboring groups, so that their numbers of rows differ little."""
    sizes = [len(rows) for rows in groups.values()]
    total, before = sum(sizes), 0
    parts: list[list[int]] = [[] for _ in range(num_clients)]
    client = 0
    for i, (rows, size) in enumerate(zip(groups.values(), sizes, strict=True)):
        left = len(sizes) - i  # groups, this one among them
        middle = before + size / 2
        full = bool(parts[client]) and middle > (client + 1) * total / num_clients
        if client < num_clients - 1 and parts[client] and (full or left < num_clients - client):
            client += 1
        parts[client] += rows
        before += size
    return [sorted(part) for part in parts]


def _in_order(values: Iterable[str]) -> list[str]:
    """Values sorted, as numbers where all of them are."""
    ordered = sorted(values)
    return sorted(ordered, key=float) if all(map(_is_number, ordered)) else ordered


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


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
