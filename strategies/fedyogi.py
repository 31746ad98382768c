"""FedYogi (Reddi et al. 2021, Adaptive Federated Optimization, arXiv 2003.00295)."""

from dataclasses import dataclass

from flwr.serverapp.strategy import FedYogi

from fedvlm_flwr.wire import Arrays
from strategies.base import FederatedStrategy
from strategies.core.adaptive import MomentParams
from strategies.core.hooks import ClientHook
from strategies.core.stock import stock_step


@dataclass(frozen=True)
class Params(MomentParams):
    """`eta`, `tau`, `beta_1` and `beta_2`, see `MomentParams`."""


class Algorithm(FederatedStrategy):
    """m = b1 m + (1 - b1) D; v -= (1 - b2) D^2 sign(v - D^2); w += eta m / (sqrt(v) + tau).

    With D = mean_k w_k - w (their Algorithm 2). The step is Flower's FedYogi, which has v start at
    0 where the paper has tau^2.
    """

    params: Params

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """The stock class's step on the running mean, which is weighted by examples."""
        stock = FedYogi(**vars(self.params))
        return stock_step(stock, server_round, arrays, mean, self.state)


class Hook(ClientHook):
    """Plain local training."""
