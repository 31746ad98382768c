"""FedYogi (Reddi et al. 2021, Adaptive Federated Optimization, arXiv 2003.00295)."""

from dataclasses import dataclass

import numpy as np

from fedvlm_flwr.arrays import Arrays, float32
from strategies.core.adaptive import MomentParams
from strategies.core.flower import FederatedStrategy


@dataclass(frozen=True)
class Params(MomentParams):
    """`eta`, `tau`, `beta_1` and `beta_2`, see `MomentParams`."""


class FedYogi(FederatedStrategy):
    """m = b1 m + (1 - b1) D; v -= (1 - b2) D^2 sign(v - D^2); w += eta m / (sqrt(v) + tau).

    v_0 = tau^2. With D = mean_k w_k - w (their Algorithm 2), see `AdaptiveParams`.
    """

    params: Params

    def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
        """One step of Yogi without bias correction."""
        p, state, rate = self.params, self.state, self.federation.lr_ratio(server_round)
        m, v = state.section("m"), state.section("v")
        result: Arrays = {}
        for name, old in arrays.items():
            change = (aggregate[name] - old) / rate
            before_m = m.get(name, np.zeros_like(old))
            before_v = v.get(name, np.full_like(old, p.tau**2))
            m[name] = float32(p.beta_1 * before_m + (1 - p.beta_1) * change)
            sign = np.sign(before_v - change**2)
            v[name] = float32(before_v - (1 - p.beta_2) * change**2 * sign)
            result[name] = float32(old + rate * p.eta * m[name] / (np.sqrt(v[name]) + p.tau))
        state.replace_section("m", m)
        state.replace_section("v", v)
        return result
