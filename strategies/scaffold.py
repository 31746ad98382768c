"""SCAFFOLD (Karimireddy et al. 2020, Stochastic Controlled Averaging, arXiv 1910.06378)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.wire import Arrays, float32
from strategies.base import FederatedStrategy
from strategies.core.hooks import ClientHook, Closing, Opening, Parameters, gradient
from strategies.core.mean import RunningMean
from strategies.core.replies import Reply

CONTROL = "c"


@dataclass(frozen=True)
class Params:
    """Server step size, and how much of the correction is applied (0 is FedAvg)."""

    server_lr: float
    correction: float

    def __post_init__(self) -> None:
        if not 0 < self.server_lr < float("inf"):
            raise ConfigError(f"algorithm.server_lr={self.server_lr} must be finite and above 0.")
        if not 0 <= self.correction <= 1:
            raise ConfigError(f"algorithm.correction={self.correction} must lie in [0, 1].")


class Algorithm(FederatedStrategy):
    """w += server_lr (mean_k w_k - w); c += (1/N) sum_k (c_k' - c_k) (their Algorithm 1).

    N counts all clients, also where only some take part. The mean of the models is weighted by
    examples, as in FedAvg; that of the control variates is not, as in the paper. A client's change
    comes in an ArrayRecord of its own beside the metrics of the same reply, since a MetricRecord
    holds no tensors. A reply that is left out changes neither c nor what its client goes on from.
    """

    params: Params

    def broadcast(self) -> Arrays:
        """The server's control variate c; zeros before the first round."""
        zeros = {name: np.zeros_like(values) for name, values in self.state.arrays.items()}
        return zeros | self.state.section(CONTROL)

    def open_round(self) -> None:
        """Start the sum of changes too."""
        super().open_round()
        self._changes = RunningMean()

    def expected_extra(self) -> Arrays:
        """The change of a control variate has the shared tensors' names and shapes."""
        return self.state.arrays

    def take(self, client: int, reply: Reply) -> None:
        """Add the model and the change."""
        super().take(client, reply)
        self._changes.add(reply.extra, 1.0)

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """Move c by the changes of this round's clients, the model towards their mean."""
        share = self._changes.count / self.loop.num_clients
        changes, before = self._changes.result(), self.broadcast()
        after = {n: float32(before[n] + share * change) for n, change in changes.items()}
        self.state.replace_section(CONTROL, after)
        eta = self.params.server_lr
        if eta == 1:
            return mean
        return {name: float32(old + eta * (mean[name] - old)) for name, old in arrays.items()}


class Hook(ClientHook):
    """Each local step's gradient + c - c_k, for every trained and shared tensor.

    The new control variate is the mean of the uncorrected minibatch gradients of the local steps.
    Under plain SGD that is the paper's option II; under AdamW, where option II would divide an
    Adam step by a learning rate, it is still a gradient. bfloat16 on the wire rounds the changes,
    so that c follows the mean of the c_k to that precision only.
    """

    params: Params

    def on_start(self, parameters: Parameters, opening: Opening) -> None:
        """Read c and c_k (zeros in a client's first round)."""
        self._sums: dict[str, Tensor] = {}
        self._own: Arrays = {}
        self._correction: dict[str, Tensor] = {}
        for name in opening.shared:
            like = parameters[name]
            self._own[name] = opening.kept.get(name, np.zeros(like.shape, np.float32))
            correction = np.asarray(opening.sent[name] - self._own[name])
            self._correction[name] = torch.from_numpy(correction).to(like)
            self._sums[name] = torch.zeros_like(like, dtype=torch.float64)

    def on_gradients(self, parameters: Parameters) -> None:
        """Add up the gradient as it is, then correct it."""
        for name, total in self._sums.items():
            found = gradient(parameters[name])
            total.add_(found)
            found.add_(self._correction[name], alpha=self.params.correction)

    def on_end(self, parameters: Parameters, steps: int) -> Closing:
        """Keep c_k', send c_k' - c_k."""
        kept = {name: (total / steps).float().cpu().numpy() for name, total in self._sums.items()}
        change = {name: np.asarray(new - self._own[name]) for name, new in kept.items()}
        return Closing(change, kept)
