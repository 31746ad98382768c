"""A weighted mean that holds one sum, however many replies it takes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedvlm_flwr.arrays import Arrays

BLOCK = 65536  # numbers that are added at once: their products stay in the processor's cache


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
                _add(self._sums[name], values, weight)
            else:
                self._sums[name] = np.multiply(values, weight, dtype=np.float64)
        self.weight += weight
        self.count += 1

    def result(self) -> Arrays:
        """The mean of all that was added, float32; empty when nothing was."""
        means = {}
        for name, total in self._sums.items():
            mean = means[name] = np.empty(total.shape, np.float32)
            np.divide(total, self.weight, out=mean, casting="same_kind")
        return means


def _add(total: NDArray[np.float64], values: NDArray[np.float32], weight: float) -> None:
    """Add `weight` times the values in place; no copy of them is made, which costs most of it."""
    sums, numbers = total.reshape(-1), values.reshape(-1)
    product = np.empty(min(BLOCK, numbers.size))
    for start in range(0, numbers.size, BLOCK):
        block = numbers[start : start + BLOCK]
        own = product[: block.size]
        np.copyto(own, block)
        own *= weight
        sums[start : start + BLOCK] += own
