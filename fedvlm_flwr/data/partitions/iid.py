"""Pictures assigned at random, equally many to each client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedvlm_flwr.data.partitions.base import assign_iid, pictures
from fedvlm_flwr.seeding import stream

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Params:
    """Nothing to set."""


def partition(table: Dataset, num_clients: int, seed: int, _params: Params) -> list[list[int]]:
    """Sorted row indices for each client; all rows of a picture go to the same one."""
    return assign_iid(pictures(table), num_clients, stream(seed, "partition"))
