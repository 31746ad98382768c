"""FedNova (Wang et al. 2020, Tackling the Objective Inconsistency Problem, arXiv 2007.07481)."""

from dataclasses import dataclass

from fedvlm_flwr.wire import Arrays, float32
from strategies.base import FederatedStrategy
from strategies.core.hooks import ClientHook
from strategies.core.replies import BadReply, Reply

MOST_STEPS = 1e9  # beyond what any site takes; keeps one lie from overflowing tau_eff


@dataclass(frozen=True)
class Params:
    """FedNova has no parameters of its own."""


class Algorithm(FederatedStrategy):
    """w += tau_eff sum_k p_k (w_k - w) / tau_k with tau_eff = sum_k p_k tau_k (their eq. 6).

    tau_k are a client's local steps, so that a client with more of them does not pull harder. The
    rule is derived for SGD; with AdamW the same weights by steps are used. With equal steps it is
    FedAvg.
    """

    def open_round(self) -> None:
        """Start the sum of steps too."""
        super().open_round()
        self._steps = 0.0

    def take(self, client: int, reply: Reply) -> None:
        """Add the change for each local step.

        Raises:
            BadReply: the reply does not say how many steps it took.
        """
        steps = reply.metrics.get("steps", 0.0)
        if not 1 <= steps <= MOST_STEPS:  # false for NaN too
            raise BadReply(
                f"it reports steps={steps:g}, which must be at least 1 and at most {MOST_STEPS:g}"
            )
        before = self.state.arrays
        each = {n: float32((new - before[n]) / steps) for n, new in reply.arrays.items()}
        self.mean.add(each, reply.num_examples)
        self._steps += reply.num_examples * steps

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """Take tau_eff times the mean change of a step."""
        tau = self._steps / self.mean.weight
        return {name: float32(old + tau * mean[name]) for name, old in arrays.items()}


class Hook(ClientHook):
    """Plain local training."""
