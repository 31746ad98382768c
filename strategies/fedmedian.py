"""Coordinate-wise median (Yin et al. 2018, arXiv 1803.01498)."""

from dataclasses import dataclass

from flwr.serverapp.strategy import FedAvg
from flwr.serverapp.strategy import FedMedian as FlowerMedian

from strategies.core.stored import StoredParams, StoredReplies


@dataclass(frozen=True)
class Params(StoredParams):
    """`max_gigabytes`, see `StoredParams`."""


class FedMedian(StoredReplies):
    """Each number is the median over the clients (their Definition 1), by Flower's FedMedian.

    Unweighted: each client counts alike. Replies are stored until the round's end.
    """

    params: Params

    def stock(self) -> FedAvg:
        """Flower's FedMedian."""
        return FlowerMedian()
