"""Krum (Blanchard et al. 2017, Machine Learning with Adversaries, arXiv 1703.02757)."""

from dataclasses import dataclass

import numpy as np
from flwr.serverapp.strategy import FedAvg, Krum

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.wire import Arrays, float32
from strategies.base import Loop
from strategies.core.hooks import ClientHook
from strategies.core.kept import KeptParams, KeptReplies
from strategies.core.stock import combine_stock


@dataclass(frozen=True)
class Params(KeptParams):
    """`num_malicious`: how many hostile clients a cohort may hold."""

    num_malicious: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_malicious < 0:
            raise ConfigError(f"algorithm.num_malicious={self.num_malicious} must be at least 0.")


class Algorithm(KeptReplies):
    """The one reply whose n - f - 2 nearest others are nearest (their section 4), by Flower's Krum.

    It is given the changes w_k - w in float64 and w is added again: the stock class computes
    distances as |x|^2 + |y|^2 - 2xy, which for weights in float32 is mostly rounding. Unweighted:
    each client counts alike. Replies are kept until the round's end.

    Raises:
        ConfigError: the rule needs more than 2 f + 2 replies, and `min_replies` promises fewer.
    """

    params: Params

    def __init__(self, params: Params, loop: Loop) -> None:
        super().__init__(params, loop)
        needed = 2 * params.num_malicious + 3
        if min(loop.cohort_size, loop.min_replies) < needed:
            raise ConfigError(
                f"algorithm.num_malicious={params.num_malicious} needs {needed} good replies in a "
                f"round of krum, and clients_per_round={loop.cohort_size}, min_replies="
                f"{loop.min_replies}; raise both to {needed} at least, or lower num_malicious."
            )

    def combine(self) -> Arrays:
        """The chosen change."""
        before = self.state.arrays
        changes = (
            {n: new - before[n].astype(np.float64) for n, new in arrays.items()}
            for arrays in self.in_order()
        )
        return combine_stock(self.stock(), changes)

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """Take it."""
        return {name: float32(old + mean[name]) for name, old in arrays.items()}

    def stock(self) -> FedAvg:
        """Flower's Krum."""
        return Krum(num_malicious_nodes=self.params.num_malicious)


class Hook(ClientHook):
    """Plain local training."""
