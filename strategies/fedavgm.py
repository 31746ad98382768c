"""FedAvg with server momentum (Hsu et al. 2019, arXiv 1909.06335)."""

from dataclasses import dataclass

from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.errors import ConfigError
from strategies.core.flower import FederatedStrategy


@dataclass(frozen=True)
class Params:
    """Server momentum and step size; 0 and 1 are FedAvg."""

    beta: float
    server_lr: float

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise ConfigError(f"algorithm.beta={self.beta} must lie in [0, 1).")
        if not 0 < self.server_lr < float("inf"):
            raise ConfigError(f"algorithm.server_lr={self.server_lr} must be finite and above 0.")


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
