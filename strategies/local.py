"""The baseline without a federation: every client trains on its own and shares nothing."""

from dataclasses import dataclass

from fedvlm_flwr.arrays import Arrays
from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """The baseline has no parameters."""


class Local(FederatedStrategy):
    """w_k goes on from w_k: no tensor travels, each client keeps all it trains on its own disk.

    Every client scores its own model; scores are reported per client and as their mean.
    """

    no_adapters = "nothing is shared"

    def shared(self, trained: Arrays) -> Arrays:
        """None of them."""
        return {}
