"""FedAdagrad (Reddi et al. 2021, Adaptive Federated Optimization, arXiv 2003.00295)."""

from dataclasses import dataclass

from flwr.serverapp.strategy import FedAdagrad

from fedvlm_flwr.wire import Arrays
from strategies.base import FederatedStrategy
from strategies.core.adaptive import AdaptiveParams
from strategies.core.hooks import ClientHook
from strategies.core.stock import stock_step


@dataclass(frozen=True)
class Params(AdaptiveParams):
    """`eta` and `tau`, see `AdaptiveParams`."""


class Algorithm(FederatedStrategy):
    """v += D^2, w += eta D / (sqrt(v) + tau), with D = mean_k w_k - w (their Algorithm 2).

    The step is Flower's FedAdagrad, which has v start at 0 where the paper has tau^2.
    """

    params: Params

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """The stock class's step on the running mean, which is weighted by examples."""
        stock = FedAdagrad(eta=self.params.eta, tau=self.params.tau)
        return stock_step(stock, server_round, arrays, mean, self.state)


class Hook(ClientHook):
    """Plain local training."""
