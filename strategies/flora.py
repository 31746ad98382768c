"""FLoRA (Wang et al. 2024, Federated Fine-Tuning with Heterogeneous Low-Rank Adaptations)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedvlm_flwr.adapters import Pair, factors_of, highest_rank, pairs_in
from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.seeding import stream
from strategies.core.deposits import Deposit
from strategies.core.factors import weighted_sum
from strategies.core.residuals import add_residual, part_shapes, residual_deposits, whole_residual
from strategies.core.state import ServerState
from strategies.core.stored_pairs import StoredPairs, StoredPairsParams


@dataclass(frozen=True)
class Params(StoredPairsParams):
    """`max_gigabytes`, see `StoredPairsParams`."""


class Flora(StoredPairs):
    """W += s [p_1 B_1, p_2 B_2, ...][A_1; A_2; ...], adapters start anew (arXiv 2409.05976): exact.

    The stack is held beside the weight until its rank passes the weight's own. Each round's
    adapters start from a new random A and a zero B, so that what is learnt in a round is learnt
    from nothing; B lags behind for some steps. Travels, down: all K clients' factors,
    sum_k r_k (inputs + outputs) numbers a layer, and the new adapters; up: r_k of them.
    """

    mixed_ranks = True
    leaves_residual = True
    quantized = False

    def step(self, state: ServerState, server_round: int, pairs: Arrays) -> Arrays:
        """The clients' products into the residual; new adapters."""
        terms = self.terms()
        sums = {layer: weighted_sum(each) for layer, each in terms.items()}
        add_residual(state, server_round, sums)
        place = (self.federation.stage, server_round)
        new: dict[str, Pair] = {}
        for number, (layer, pair) in enumerate(pairs_in(pairs).items()):
            draw = stream(self.federation.seed, "adapters", *place, number)
            limit = 1 / np.sqrt(pair.a.shape[1])  # as torch and peft start a linear layer
            a = float32(draw.uniform(-limit, limit, pair.a.shape))
            new[layer] = Pair(a, np.zeros_like(pair.b))
        return factors_of(new)

    def deposits(self, state: ServerState) -> Mapping[str, Deposit]:
        """The parts of what is merged."""
        return residual_deposits(state)

    def passing(self, state: ServerState, clients: Sequence[int]) -> Arrays:
        """The part of a round: all clients' factors."""
        rank = sum(self.rank_of(state, c) or highest_rank(state.arrays) for c in clients)
        return part_shapes(state.arrays, rank)

    def residual(self, state: ServerState) -> Arrays:
        """What is merged."""
        return whole_residual(state)
