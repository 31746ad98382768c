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
    """v += D^2, w += eta D / (sqrt(v) + tau); v_0 = tau^2.

    With D = mean_k w_k - w (their Algorithm 2), see `AdaptiveParams`.
    """

    params: Params

    def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
        """One step of Adagrad on -D."""
        p, v, result = self.params, self.state.section("v"), Arrays()
        rate = self.federation.lr_ratio(server_round)
        for name, old in arrays.items():
            change = (aggregate[name] - old) / rate
            v[name] = float32(v.get(name, np.full_like(old, p.tau**2)) + change**2)
            result[name] = float32(old + rate * p.eta * change / (np.sqrt(v[name]) + p.tau))
        self.state.replace_section("v", v)
        return result
