"""FedProx (Li et al. 2020, Federated Optimization in Heterogeneous Networks, arXiv 1812.06127)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedvlm_flwr.errors import ConfigError
from strategies.base import FederatedStrategy
from strategies.core.hooks import ClientHook, Opening, Parameters, gradient


@dataclass(frozen=True)
class Params:
    """`mu`: weight of the proximal term; 0 is FedAvg."""

    mu: float

    def __post_init__(self) -> None:
        if not 0 <= self.mu < float("inf"):
            raise ConfigError(f"algorithm.mu={self.mu} must be finite and at least 0.")


class Algorithm(FederatedStrategy):
    """FedAvg on the server; what is new happens on the clients."""


class Hook(ClientHook):
    """Local loss + mu/2 ||w - w_t||^2 (their eq. 2), as the gradient mu (w - w_t).

    The term covers exactly the tensors that are trained and shared; private ones have no w_t.
    """

    params: Params

    def on_start(self, parameters: Parameters, opening: Opening) -> None:
        """Remember the round's shared tensors."""
        self._anchors: dict[str, Tensor] = {
            name: parameters[name].detach().clone() for name in opening.shared
        }

    def on_gradients(self, parameters: Parameters) -> None:
        """Add the term's gradient."""
        if not self.params.mu:
            return
        with torch.no_grad():
            for name, anchor in self._anchors.items():
                gradient(parameters[name]).add_(parameters[name] - anchor, alpha=self.params.mu)
