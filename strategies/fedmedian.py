"""Coordinate-wise median (Yin et al. 2018, arXiv 1803.01498)."""

from dataclasses import dataclass

from flwr.serverapp.strategy import FedAvg, FedMedian

from strategies.core.hooks import ClientHook
from strategies.core.kept import KeptParams, KeptReplies


@dataclass(frozen=True)
class Params(KeptParams):
    """`max_gigabytes`, see `KeptParams`."""


class Algorithm(KeptReplies):
    """Each number is the median over the clients (their Definition 1), by Flower's FedMedian.

    Unweighted: each client counts alike. Replies are kept until the round's end.
    """

    params: Params

    def stock(self) -> FedAvg:
        """Flower's FedMedian."""
        return FedMedian()


class Hook(ClientHook):
    """Plain local training."""
