"""FedEx-LoRA (Singhal et al. 2024, Exact Aggregation for Federated Fine-Tuning, 2410.09432)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedvlm_flwr.adapters import Pair, factors_of, highest_rank, pairs_in
from fedvlm_flwr.arrays import Arrays
from strategies.core.deposits import Deposit
from strategies.core.factors import Product, as_product, difference, weighted_sum
from strategies.core.residuals import add_residual, part_shapes, residual_deposits, whole_residual
from strategies.core.state import ServerState
from strategies.core.stored_pairs import StoredPairs, StoredPairsParams, mean_pair, revived


@dataclass(frozen=True)
class Params(StoredPairsParams):
    """`max_gigabytes`, see `StoredPairsParams`."""


class FedExLora(StoredPairs):
    """A and B are averaged; W += s (sum_k p_k B_k A_k - B A), their equation 8: exact.

    The residual is sum_k p_k (B_k - B)(A_k - A), of rank (K - 1) r at most for K clients, and lies
    as a low-rank term beside the frozen weight, which may be of 4 bits. Clients keep it: a round
    sends down its own part and, to whom has missed some, the others. Travels, beyond FedAvg's: down
    (K - 1) r (inputs + outputs) numbers a layer. The server stores all pairs, and needs
    (K r)^2 (inputs + outputs) operations a layer.
    """

    mixed_ranks = True
    leaves_residual = True

    def step(self, state: ServerState, server_round: int, pairs: Arrays) -> Arrays:
        """The means; what they leave over goes into the residual."""
        old = pairs_in(pairs)
        means: dict[str, Pair] = {}
        left: dict[str, Product] = {}
        for layer, terms in self.terms(pairs).items():
            means[layer] = revived(mean_pair(terms), old[layer])
            left[layer] = difference(weighted_sum(terms), as_product(means[layer]))
        add_residual(state, server_round, left)
        return factors_of(means)

    def deposits(self, state: ServerState) -> Mapping[str, Deposit]:
        """The residual's parts."""
        return residual_deposits(state)

    def passing(self, state: ServerState, clients: Sequence[int]) -> Arrays:
        """The part of a round: its rank is that of K - 1 clients together."""
        rank = (len(clients) - 1) * highest_rank(state.arrays)
        return part_shapes(state.arrays, rank)

    def residual(self, state: ServerState) -> Arrays:
        """All of it."""
        return whole_residual(state)
