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
    damped: bool
    """Whether 1 - beta of the new change enters the momentum, so that a steady one moves the model
    as far as FedAvg; false: all of it (Hsu et al.), which moves it 1 / (1 - beta) times as far."""


class FedAvgM(FederatedStrategy):
    """m = beta m + D, w += server_lr m, with D = mean_k w_k - w (Hsu et al.).

    Damped: m = beta m + (1 - beta) D, as in the code of FedVLMBench (arXiv 2506.09638), here with
    Adam's bias correction, w += server_lr m / (1 - beta^t), without which the first rounds would
    hardly move.

    m is of D / r and the step r times as long, with r the round's `Federation.lr_ratio`: else the
    momentum of early rounds outweighs what a falling learning rate leaves of D.
    """

    params: Params

    def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
        """One step of gradient descent with momentum, on -D."""
        p, rate = self.params, self.federation.lr_ratio(server_round)
        if (p.beta, p.server_lr) == (0, 1):
            return aggregate
        new = 1 - p.beta if p.damped else 1.0
        eta = rate * p.server_lr / (1 - p.beta**server_round if p.damped else 1.0)
        m, result = self.state.section("m"), {}
        for name, old in arrays.items():
            change = new * (aggregate[name] - old) / rate
            m[name] = float32(p.beta * m[name] + change) if name in m else float32(change)
            result[name] = float32(old + eta * m[name])
        self.state.replace_section("m", m if p.beta else {})
        return result
