"""Krum (Blanchard et al. 2017, Machine Learning with Adversaries, arXiv 1703.02757)."""

from dataclasses import dataclass, field

import numpy as np
from flwr.serverapp.strategy import FedAvg
from flwr.serverapp.strategy import Krum as FlowerKrum

from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import setting
from strategies.core.federation import Federation
from strategies.core.stock import aggregate_stock
from strategies.core.stored import StoredParams, StoredReplies


@dataclass(frozen=True)
class Params(StoredParams):
    """How many clients may be hostile, and the memory for the replies."""

    num_malicious: int = field(metadata=setting(least=0, most=100_000))
    """How many hostile clients a cohort may hold."""


class Krum(StoredReplies):
    """The one reply whose n - f - 2 nearest others are nearest (their section 4), by Flower's Krum.

    It is given the changes w_k - w in float64 and w is added again: the stock class computes
    distances as |x|^2 + |y|^2 - 2xy, which for weights in float32 is mostly rounding. Unweighted:
    each client counts alike. Replies are stored until the round's end.

    Raises:
        ConfigError: the rule needs more than 2 f + 2 replies, and `min_replies` promises fewer.
    """

    params: Params

    def __init__(self, params: Params, federation: Federation) -> None:
        super().__init__(params, federation)
        needed = 2 * params.num_malicious + 3
        if min(federation.cohort_size, federation.replies_needed) < needed:
            raise ConfigError(
                f"algorithm.num_malicious={params.num_malicious} needs {needed} good replies in a "
                f"round of {type(self).__module__.rpartition('.')[2]}, and clients_per_round="
                f"{federation.cohort_size}, min_replies={federation.replies_needed}; raise both to "
                f"{needed} at least, or lower num_malicious."
            )

    def aggregate(self) -> Arrays:
        """The shared tensors and the change of the reply (or replies) that score best."""
        before = self.state.arrays
        changes = (
            {n: new - before[n].astype(np.float64) for n, new in arrays.items()}
            for arrays in self.in_order()
        )
        best = aggregate_stock(self.stock(), changes)
        return {name: float32(old + best[name]) for name, old in before.items()}

    def stock(self) -> FedAvg:
        """Flower's Krum."""
        return FlowerKrum(num_malicious_nodes=self.params.num_malicious)
