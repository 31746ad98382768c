"""Ditto (Li et al. 2021, Fair and Robust Federated Learning, arXiv 2012.04221)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedvlm_flwr.arrays import Arrays, section
from fedvlm_flwr.settings import setting
from strategies.core.client_hook import ClientHook, PersonalModel, RoundInput, gradient
from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams

if TYPE_CHECKING:
    from torch import Tensor

    from strategies.core.client_hook import Parameters

PERSONAL = "personal/"


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """How near a personal model is held to the shared one."""

    lam: float = field(metadata=setting(least=0, most=1e6))
    """Weight of lam/2 ||v - w||^2; 0: each client's own model, large: everybody's."""


class NearShared(ClientHook):
    """Adds lam (v - w_t) to each gradient of a personal model, whose start is w_t's or its own."""

    params: Params

    def on_start(self, parameters: Parameters, start: RoundInput) -> None:
        """Remember w_t."""
        self._anchors: dict[str, Tensor] = {
            name: parameters[name].new_tensor(values) for name, values in start.shared.items()
        }

    def on_gradients(self, parameters: Parameters) -> None:
        """Pull towards w_t."""
        for name, anchor in self._anchors.items():
            away = parameters[name].detach() - anchor
            gradient(parameters[name]).add_(away, alpha=self.params.lam)


class TwoModels(ClientHook):
    """The shared model is trained as ever; then the client's own, from where it was, near it."""

    params: Params

    def personal(self, start: RoundInput) -> PersonalModel:
        """The client's own model; before its first round it is the shared one."""
        return PersonalModel(self.scored(start), NearShared(self.params), PERSONAL)

    def scored(self, start: RoundInput) -> Arrays:
        """The client's own model."""
        return section(start.state, PERSONAL) or start.shared


class Ditto(FederatedStrategy):
    """w by FedAvg; each client's own v_k: least of its loss + lam/2 ||v_k - w||^2 (Algorithm 1).

    A client trains both in a round, in as many steps each, so that its time is twice FedAvg's;
    what travels is FedAvg's. Clients score their v_k, which stays on their disk; the adapter that
    is saved is w.
    """

    params: Params
    client_hook = TwoModels
    keeps_models = True
    needs_basis = "a personal model is near the shared one in the basis of its factors"
