"""FedNova (Wang et al. 2020, Tackling the Objective Inconsistency Problem, arXiv 2007.07481)."""

from dataclasses import dataclass

from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.messages import RejectedMessage, TrainReply
from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams
from strategies.core.validation import norm


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """FedNova has no parameters of its own."""


class FedNova(FederatedStrategy):
    """w += tau_eff sum_k p_k (w_k - w) / tau_k with tau_eff = sum_k p_k tau_k (their eq. 6).

    tau_k are a client's local steps, so that a client with more of them does not pull harder. The
    rule is derived for SGD; with AdamW the same weights by steps are used. With equal steps it is
    FedAvg.

    Steps are a client's word as its examples are: more than `max_weight_share` times the median
    count as so many in tau_eff, fewer lower its weight, and the whole step is no longer than
    `max_update_norm`, as a mean of updates is by itself.
    """

    needs_basis = (
        "it divides a client's change by its steps, which has no meaning for a product of "
        "two factors"
    )

    by_steps = True

    def begin_round(self) -> None:
        """Start the sum of steps too."""
        super().begin_round()
        self._steps = 0.0

    def accumulate(self, client: int, reply: TrainReply) -> None:
        """Add the change for each local step.

        Raises:
            RejectedMessage: the reply does not say how many steps it took.
        """
        steps, before = reply.metrics.steps, self.state.arrays
        if steps < 1:
            raise RejectedMessage(f"it reports steps={steps}, which must be at least 1")
        each = {n: float32((new - before[n]) / steps) for n, new in reply.arrays.items()}
        weight = self.weight(reply.metrics)
        self.mean.add(each, weight)
        self._steps += weight * min(steps, self.limit.steps)

    def aggregate(self) -> Arrays:
        """The shared tensors and tau_eff times the mean change of a step."""
        each, before = self.mean.result(), self.state.arrays
        tau, most = self._steps / self.mean.weight, self.federation.max_update_norm
        if most is not None and (length := tau * norm(each)) > most:
            tau *= most / length
        return {name: float32(before[name] + tau * change) for name, change in each.items()}
