"""How unlike the clients are: their counts of a field's values, and distances to the pool."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from fedvlm_flwr.data.partitions.base import field_values


@dataclass(frozen=True, slots=True)
class LabelDistribution:
    """The records of each client by a field's value.

    Attributes:
        field: the field.
        values: its values, sorted.
        counts: records [clients, values]; every client and every value has at least one.
    """

    field: str
    values: list[str]
    counts: npt.NDArray[np.int64]

    @property
    def distances(self) -> list[float]:
        """Each client's total-variation distance to the pool of all clients, in [0, 1).

        Half the sum over the values of |the client's share - the pool's share|: the part of the
        client's records that would have to change their value to be distributed like the pool.
        """
        own = self.counts / self.counts.sum(axis=1, keepdims=True)
        pool = self.counts.sum(axis=0) / self.counts.sum()
        return [float(distance) for distance in np.abs(own - pool).sum(axis=1) / 2]

    @property
    def distance(self) -> float:
        """The plain mean of the clients' distances: the heterogeneity of a partition.

        0: all are alike; 1 - 1/n: each of n equal clients has a value of its own.
        """
        return sum(self.distances) / len(self.distances)

    @property
    def effective(self) -> list[float]:
        """How many values each client has in effect: exp of its entropy (Hill number of order 1).

        As many as it has where they are equally frequent, and near 1 where one prevails.
        """
        own = self.counts / self.counts.sum(axis=1, keepdims=True)
        logs = np.log(own, out=np.zeros_like(own), where=own > 0)
        return [float(number) for number in np.exp(-(own * logs).sum(axis=1))]


def label_distribution(
    table: Dataset, shares: Sequence[Sequence[int]], field: str, key: str = "partition.by"
) -> LabelDistribution:
    """Count the values of a field over the rows of each client.

    Args:
        table: the training records.
        shares: row indices for each client.
        field: any field of one value a row.
        key: what the user chose it with, for messages.

    Raises:
        ConfigError: there is no such field; lists the ones there are.
        DataError: a row has no value of it.
    """
    of_row = field_values(table, field, key)
    values = sorted(set(of_row))
    place = {value: i for i, value in enumerate(values)}
    counts = np.zeros((len(shares), len(values)), dtype=np.int64)
    for client, rows in enumerate(shares):
        for row in rows:
            counts[client, place[of_row[row]]] += 1
    return LabelDistribution(field, values, counts)
