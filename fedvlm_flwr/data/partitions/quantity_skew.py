"""Quantity skew: pictures assigned at random, but unequally many to each client.

Each client has one picture, and the others are cut in shares drawn from a symmetric Dirichlet
distribution. Li, Diao, Chen, He: Federated Learning on Non-IID Data Silos: An Experimental Study
(2021), https://arxiv.org/abs/2102.02079.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fedvlm_flwr.data.partitions.base import Units, assign, pictures, whole_numbers
from fedvlm_flwr.seeding import stream
from fedvlm_flwr.settings import setting

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Params:
    """How unequal the clients are."""

    alpha: float = field(metadata=setting(least=1e-3, most=1e6))
    """Concentration: near 0 one client has almost all pictures, at 100 all have about as many."""


def partition(table: Dataset, num_clients: int, seed: int, params: Params) -> list[list[int]]:
    """Sorted row indices for each client; all rows of a picture go to the same one.

    Raises:
        ConfigError: more clients than pictures.
    """
    from flwr_datasets.partitioner import SizePartitioner

    generator = stream(seed, "partition")
    rows = pictures(table)
    shares = generator.dirichlet(np.full(num_clients, params.alpha))
    spare = max(0, len(rows) - num_clients)  # with fewer pictures than clients, `assign` says so
    sizes = [1 + size for size in whole_numbers([float(share) * spare for share in shares])]
    return assign(SizePartitioner(sizes), Units(rows, [""] * len(rows)), num_clients, generator)
