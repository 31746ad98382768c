"""A weighted mean that holds one sum, however many replies it takes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedvlm_flwr.arrays import Arrays


class RunningMean:
    """The weighted mean of arrays, added one reply at a time.

    Sums are float64, so that the order of arrival changes the float32 result by one rounding at
    most. Memory: two float32 copies of one reply, independent of the number of replies.
    """

    def __init__(self) -> None:
        self.weight = 0.0
        self.count = 0
        self._sums: dict[str, NDArray[np.float64]] = {}

    def add(self, arrays: Mapping[str, NDArray[np.float32]], weight: float) -> None:
        """Add one reply.

        Args:
            arrays: the same names and shapes at every call.
            weight: its share, e.g. the number of examples; greater than 0.
        """
        for name, values in arrays.items():
            if name in self._sums:
                self._sums[name] += np.multiply(values, weight, dtype=np.float64)
            else:
                self._sums[name] = np.multiply(values, weight, dtype=np.float64)
        self.weight += weight
        self.count += 1

    def result(self) -> Arrays:
        """The mean of all that was added, float32; empty when nothing was."""
        return {
            name: np.asarray(total / self.weight, dtype=np.float32)
            for name, total in self._sums.items()
        }
