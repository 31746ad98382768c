"""FedAvg with server momentum (Hsu et al. 2019, arXiv 1909.06335)."""

from dataclasses import dataclass

from flwr.serverapp.strategy import FedAvgM

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.wire import Arrays
from strategies.base import FederatedStrategy
from strategies.core.hooks import ClientHook
from strategies.core.stock import stock_step


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


class Algorithm(FederatedStrategy):
    """m = beta m + D, w += server_lr m, with D = mean_k w_k - w; the step is Flower's FedAvgM.

    The old share of m is not damped by 1 - beta, so that at beta 0.9 a steady D moves w ten times
    as far as FedAvg does.
    """

    params: Params

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """The stock class's step on the running mean."""
        stock = FedAvgM(
            server_learning_rate=self.params.server_lr, server_momentum=self.params.beta
        )
        return stock_step(stock, server_round, arrays, mean, self.state)


class Hook(ClientHook):
    """Plain local training."""
