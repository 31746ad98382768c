"""SCAFFOLD (Karimireddy et al. 2020, Stochastic Controlled Averaging, arXiv 1910.06378)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.messages import TrainReply
from fedvlm_flwr.settings import setting
from strategies.core.client_hook import ClientHook, RoundInput, RoundOutput, gradient
from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams
from strategies.core.running_mean import RunningMean

if TYPE_CHECKING:
    from torch import Tensor

    from strategies.core.client_hook import Parameters

CONTROL = "c"


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """Server step size and strength of the correction."""

    server_lr: float = field(metadata=setting(above=0, most=1000))
    """Server step size: how much of the clients' mean change is taken."""
    correction: float = field(metadata=setting(least=0, most=1))
    """How much of c - c_k is added to each gradient; 0 is FedAvg."""


class ControlVariate(ClientHook):
    """Each local step's gradient + c - c_k, for every trained and shared tensor.

    The new control variate is the mean of the uncorrected minibatch gradients of the local steps.
    Under plain SGD that is the paper's option II; under AdamW, where option II would divide an
    Adam step by a learning rate, it is still a gradient. A client keeps the c_k that its changes
    come to as they were sent, so that c stays the mean of the c_k in a short number format too.
    """

    params: Params

    def on_start(self, parameters: Parameters, start: RoundInput) -> None:
        """Read c and c_k (zeros in a client's first round)."""
        self._sums: dict[str, Tensor] = {}
        self._own: Arrays = {}
        self._correction: dict[str, Tensor] = {}
        for name in start.shared:
            like = parameters[name].detach()
            self._own[name] = start.state.get(name, np.zeros(like.shape, np.float32))
            self._correction[name] = like.new_tensor(start.extra[name] - self._own[name])
            self._sums[name] = like.new_zeros(like.shape).double()

    def on_gradients(self, parameters: Parameters) -> None:
        """Add up the gradient as it is, then correct it."""
        for name, total in self._sums.items():
            own = gradient(parameters[name])
            total.add_(own)
            own.add_(self._correction[name], alpha=self.params.correction)

    def on_end(self, parameters: Parameters, steps: int) -> RoundOutput:
        """Send c_k' - c_k."""
        after = {name: (total / steps).float().cpu().numpy() for name, total in self._sums.items()}
        return RoundOutput({name: float32(new - self._own[name]) for name, new in after.items()})

    def on_sent(self, shared: Arrays, extra: Arrays, output: RoundOutput) -> Arrays:
        """Keep c_k plus the change as it was sent."""
        return {name: float32(self._own[name] + change) for name, change in extra.items()}


class Scaffold(FederatedStrategy):
    """w += server_lr (mean_k w_k - w); c += sum_k p_k (c_k' - c_k) (their Algorithm 1).

    p_k is a client's part of all clients, also where only some take part: 1/N with
    `weighting=uniform`, as in the paper, whose objective is the plain mean of the clients' losses;
    n_k/n with `examples`, whose objective is FedAvg's. The mean of the models has the same weights:
    with others the fixed point is that of c, whatever the models are weighted by. They are what
    clients said before the first round, so that c stays the mean of the c_k.

    A client's change comes in an ArrayRecord of its own beside the metrics of the same reply, since
    a MetricRecord holds no tensors. A reply that is left out changes neither c nor what its client
    goes on from.
    """

    params: Params
    client_hook = ControlVariate
    needs_basis = (
        "its control variates are gradients in the basis of the factors, which such a "
        "rule turns in every round"
    )

    def broadcast(self) -> Arrays:
        """The server's control variate c; zeros before the first round."""
        zeros = {name: np.zeros_like(values) for name, values in self.trained().items()}
        return zeros | self.state.section(CONTROL)

    def begin_round(self) -> None:
        """Start the sum of changes too.

        Raises:
            RunError: a client's number of examples is not known, and counts.
        """
        super().begin_round()
        self._weights = self.federation.all_weights(self.examples)
        self._changes = RunningMean()

    def expected_extra(self) -> Arrays:
        """The change of a control variate has the trained tensors' names and shapes."""
        return self.trained()

    def accumulate(self, client: int, reply: TrainReply) -> None:
        """Add the model and the change."""
        self.mean.add(reply.arrays, self._weights[client])
        self._changes.add(reply.extra, self._weights[client])

    def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
        """Move c by the changes of this round's clients, the model towards their mean."""
        share = self._changes.weight / sum(self._weights.values())
        changes, before = self._changes.result(), self.broadcast()
        after = {n: float32(before[n] + share * change) for n, change in changes.items()}
        self.state.replace_section(CONTROL, after)
        eta = self.params.server_lr
        if eta == 1:
            return aggregate
        return {name: float32(old + eta * (aggregate[name] - old)) for name, old in arrays.items()}
