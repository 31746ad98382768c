"""FedDyn (Acar et al. 2021, arXiv 2111.04263): dynamic regularization."""

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

if TYPE_CHECKING:
    from torch import Tensor

    from strategies.core.client_hook import Parameters

H, MEAN = "h", "mean"  # sections of the state


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """The strength of the regularizer."""

    alpha: float = field(metadata=setting(least=0, most=1e6))
    """Weight of the dynamic regularizer; 0 is FedAvg, by definition."""


class DynamicRegularizer(ClientHook):
    """Local loss - <h_k, w> + alpha/2 ||w - w_t||^2, then h_k -= alpha (w_k - w_t).

    The terms cover the tensors that are trained and shared; h_k stays on the client's disk.

    `train.max_grad_norm` clips the gradient of the loss before the terms are added, and not their
    sum: where local training ends, the loss's gradient equals h_k - alpha (w_k - w_t), the new h_k,
    and a sum that is cut would make that something else.
    """

    params: Params

    def on_start(self, parameters: Parameters, start: RoundInput) -> None:
        """Read w_t and h_k (zeros in a client's first round)."""
        self._anchors: dict[str, Tensor] = {}
        self._pull: dict[str, Tensor] = {}
        self._own: Arrays = {}
        self._before: Arrays = {}
        for name in start.shared if self.params.alpha else ():
            like = parameters[name].detach()
            self._before[name] = start.shared[name]
            self._own[name] = start.state.get(name, np.zeros(like.shape, np.float32))
            self._pull[name] = like.new_tensor(self._own[name])
            self._anchors[name] = like.clone()

    def on_clipped(self, parameters: Parameters) -> None:
        """Add -h_k + alpha (w - w_t)."""
        for name, anchor in self._anchors.items():
            total = gradient(parameters[name])
            total.add_(parameters[name].detach() - anchor, alpha=self.params.alpha)
            total.sub_(self._pull[name])

    def on_sent(self, shared: Arrays, extra: Arrays, output: RoundOutput) -> Arrays:
        """Keep the new h_k, of the change that the server reads."""
        return {
            name: float32(self._own[name] - self.params.alpha * (shared[name] - before))
            for name, before in self._before.items()
        }


class FedDyn(FederatedStrategy):
    """h -= alpha sum_k p_k (w_k - w); w = mean_k w_k - h/alpha (their Algorithm 1).

    p_k is a client's part of all clients, also where only some take part: 1/N with
    `weighting=uniform`, as in the paper, whose objective counts clients equally; n_k/n with
    `examples`. The mean has the same weights. They are what clients said before the first round, so
    that h stays the mean of the h_k.

    w is where the clients begin; what is scored and saved is the mean, as in the authors' code:
    -h/alpha is the sum of all past changes, and w runs ahead of the mean by it. h is a sum of
    gradients and not of changes: the clients' falling learning rate is no factor of it, so that the
    step is not scaled by `Federation.lr_ratio`. A small alpha makes it long beside the last rounds'
    changes; `max_step_ratio` bounds it.

    At alpha = 0, where h/alpha has no value, this is FedAvg.
    """

    params: Params
    client_hook = DynamicRegularizer
    needs_basis = (
        "its h is a sum of changes in the basis of the factors, which such a rule turns "
        "in every round"
    )

    def begin_round(self) -> None:
        """Look up the clients' weights too.

        Raises:
            RunError: a client's number of examples is not known, and counts.
        """
        super().begin_round()
        if self.params.alpha:
            self._weights = self.federation.all_weights(self.examples)

    def accumulate(self, client: int, reply: TrainReply) -> None:
        """Add the reply."""
        if self.params.alpha:
            self.mean.add(reply.arrays, self._weights[client])
        else:
            super().accumulate(client, reply)

    def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
        """Move h by the clients' changes, then the model from their mean by -h/alpha."""
        alpha = self.params.alpha
        if not alpha:
            return aggregate
        share = self.mean.weight / sum(self._weights.values())
        before, result, after = self.state.section(H), {}, {}
        for name, old in arrays.items():
            h = before.get(name, np.zeros_like(old)) - alpha * share * (aggregate[name] - old)
            after[name] = float32(h)
            result[name] = float32(aggregate[name] - h / alpha)
        self.state.replace_section(H, after)
        self.state.replace_section(MEAN, aggregate)
        return result

    def served(self) -> Arrays:
        """The clients' mean; before the first round the shared tensors."""
        return self.state.arrays | self.state.section(MEAN)
