"""FedAvg with server momentum (Hsu et al. 2019, arXiv 1909.06335)."""

from dataclasses import dataclass, field

from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.settings import setting
from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """Server momentum and step size; 0 and 1 are FedAvg."""

    beta: float = field(metadata=setting(least=0, below=1))
    """Server momentum: how much of the last round's step is taken again."""
    server_lr: float = field(metadata=setting(above=0, most=1000))
    """Server step size: how much of the momentum is taken."""


class FedAvgM(FederatedStrategy):
    """m = beta m + D, w += server_lr m, with D = mean_k w_k - w.

    The old share of m is not damped by 1 - beta, so that at beta 0.9 a steady D moves w ten times
    as far as FedAvg does.
    """

    params: Params

    def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
        """One step of gradient descent with momentum, on -D."""
        p = self.params
        if (p.beta, p.server_lr) == (0, 1):
            return aggregate
        m, result = self.state.section("m"), {}
        for name, old in arrays.items():
            change = aggregate[name] - old
            m[name] = float32(p.beta * m[name] + change) if name in m else float32(change)
            result[name] = float32(old + p.server_lr * m[name])
        self.state.replace_section("m", m if p.beta else {})
        return result
