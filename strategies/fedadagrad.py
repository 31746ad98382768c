"""FedAdagrad (Reddi et al. 2021, Adaptive Federated Optimization, arXiv 2003.00295)."""

from dataclasses import dataclass

import numpy as np

from fedvlm_flwr.arrays import Arrays, float32
from strategies.core.adaptive import AdaptiveParams
from strategies.core.flower import FederatedStrategy


@dataclass(frozen=True)
class Params(AdaptiveParams):
    """`eta` and `tau`, see `AdaptiveParams`."""


class FedAdagrad(FederatedStrategy):
    """v += D^2, w += eta D / (sqrt(v) + tau), with D = mean_k w_k - w (their Algorithm 2).

    v starts at 0, where the paper has tau^2.
    """

    params: Params

    def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
        """One step of Adagrad on -D."""
        p, v, result = self.params, self.state.section("v"), {}
        for name, old in arrays.items():
            change = aggregate[name] - old
            v[name] = float32(v.get(name, np.zeros_like(old)) + change**2)
            result[name] = float32(old + p.eta * change / (np.sqrt(v[name]) + p.tau))
        self.state.replace_section("v", v)
        return result
