"""The baseline without a federation: every client trains on its own and shares nothing."""

from dataclasses import dataclass

from fedvlm_flwr.wire import Arrays
from strategies.base import FederatedStrategy
from strategies.core.hooks import ClientHook


@dataclass(frozen=True)
class Params:
    """The baseline has no parameters."""


class Algorithm(FederatedStrategy):
    """w_k goes on from w_k: no tensor travels, each client keeps all it trains on its own disk.

    Every client scores its own model; scores are reported per client and as their mean.
    """

    def shared(self, trained: Arrays) -> Arrays:
        """None of them."""
        return {}


class Hook(ClientHook):
    """Plain local training."""
