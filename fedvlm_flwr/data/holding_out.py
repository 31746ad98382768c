"""A validation set out of the training records, for a dataset that has none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fedvlm_flwr.data.partitions.base import pictures
from fedvlm_flwr.seeding import stream

if TYPE_CHECKING:
    from fedvlm_flwr.data.federated import FederatedData


def with_validation(data: FederatedData, fraction: float, seed: int) -> FederatedData:
    """The same with a part of the training records as validation records, where it has none.

    It is drawn by picture, or by what the dataset keeps together, before the records are dealt: so
    a part of each client's own. No client trains on them as long as they are scored.

    Args:
        fraction: part of the pictures that is drawn; one at least stays on either side.
        seed: of the draw.
    """
    units = pictures(data.train)
    if data.validation or len(units) < 2:
        return data
    count = min(max(1, round(fraction * len(units))), len(units) - 1)
    order = stream(seed, "validation").permutation(len(units))
    parts = order[:count], order[count:]
    rows = [sorted(row for unit in part for row in units[unit]) for part in parts]
    validation, train = (data.train.select(own) for own in rows)
    return replace(data, validation=validation, train=train)
