"""FedProx (Li et al. 2020, Federated Optimization in Heterogeneous Networks, arXiv 1812.06127)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedvlm_flwr.settings import setting
from strategies.core.client_hook import ClientHook, RoundInput, gradient
from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams

if TYPE_CHECKING:
    from torch import Tensor

    from strategies.core.client_hook import Parameters


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """The strength of the proximal term."""

    mu: float = field(metadata=setting(least=0, most=1e6))
    """Weight of the proximal term; 0 is FedAvg."""


class ProximalTerm(ClientHook):
    """Local loss + mu/2 ||w - w_t||^2 (their eq. 2), as the gradient mu (w - w_t).

    The term covers exactly the tensors that are trained and shared; private ones have no w_t.
    """

    params: Params

    def on_start(self, parameters: Parameters, start: RoundInput) -> None:
        """Remember the round's shared tensors."""
        self._anchors: dict[str, Tensor] = {
            name: parameters[name].detach().clone() for name in start.shared
        }

    def on_gradients(self, parameters: Parameters) -> None:
        """Add the term's gradient."""
        if not self.params.mu:
            return
        for name, anchor in self._anchors.items():
            moved = parameters[name].detach() - anchor
            gradient(parameters[name]).add_(moved, alpha=self.params.mu)


class FedProx(FederatedStrategy):
    """FedAvg on the server; what is new happens on the clients."""

    client_hook = ProximalTerm
