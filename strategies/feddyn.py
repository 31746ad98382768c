"""FedDyn (Acar et al. 2021, arXiv 2111.04263): dynamic regularisation."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.wire import Arrays, float32
from strategies.base import FederatedStrategy
from strategies.core.hooks import ClientHook, Closing, Opening, Parameters, gradient
from strategies.core.replies import Reply

H = "h"


@dataclass(frozen=True)
class Params:
    """`alpha`: weight of the dynamic regulariser; 0 is FedAvg, by definition."""

    alpha: float

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < float("inf"):
            raise ConfigError(f"algorithm.alpha={self.alpha} must be finite and at least 0.")


class Algorithm(FederatedStrategy):
    """h -= (alpha/N) sum_k (w_k - w); w = mean_k w_k - h/alpha (their Algorithm 1).

    N counts all clients, also where only some take part. The mean is not weighted by examples, as
    in the paper, whose objective counts clients equally. At alpha = 0, where h/alpha has no value,
    this is FedAvg, weighted as ever.
    """

    params: Params

    def take(self, client: int, reply: Reply) -> None:
        """Add the reply, each client alike."""
        self.mean.add(reply.arrays, 1.0 if self.params.alpha else reply.num_examples)

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """Move h by the clients' changes, then the model by -h/alpha."""
        alpha = self.params.alpha
        if not alpha:
            return mean
        share = self.mean.count / self.loop.num_clients
        before, result, after = self.state.section(H), {}, {}
        for name, old in arrays.items():
            h = before.get(name, np.zeros_like(old)) - alpha * share * (mean[name] - old)
            after[name] = float32(h)
            result[name] = float32(mean[name] - h / alpha)
        self.state.replace_section(H, after)
        return result


class Hook(ClientHook):
    """Local loss - <h_k, w> + alpha/2 ||w - w_t||^2, then h_k -= alpha (w_k - w_t).

    The terms cover the tensors that are trained and shared; h_k stays on the client's disk.
    """

    params: Params

    def on_start(self, parameters: Parameters, opening: Opening) -> None:
        """Read w_t and h_k (zeros in a client's first round)."""
        self._anchors: dict[str, Tensor] = {}
        self._own: dict[str, Tensor] = {}
        for name in opening.shared if self.params.alpha else ():
            like = parameters[name]
            own = opening.kept.get(name, np.zeros(like.shape, np.float32))
            self._own[name] = torch.from_numpy(own).to(like.device)
            self._anchors[name] = like.detach().clone()

    def on_gradients(self, parameters: Parameters) -> None:
        """Add -h_k + alpha (w - w_t)."""
        with torch.no_grad():
            for name, anchor in self._anchors.items():
                found = gradient(parameters[name])
                found.add_(parameters[name] - anchor, alpha=self.params.alpha)
                found.sub_(self._own[name])

    def on_end(self, parameters: Parameters, steps: int) -> Closing:
        """Keep the new h_k."""
        kept = {}
        for name, anchor in self._anchors.items():
            moved = parameters[name].detach().float() - anchor.float()
            kept[name] = (self._own[name] - self.params.alpha * moved).cpu().numpy()
        return Closing(kept=kept)
