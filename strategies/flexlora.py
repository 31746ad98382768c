"""FlexLoRA (Bai et al. 2024, Fine-tuning under Heterogeneous Tasks, arXiv 2402.11505)."""

from dataclasses import dataclass

from fedvlm_flwr.adapters import Pair, factors_of, pairs_in
from fedvlm_flwr.arrays import Arrays
from strategies.core.factors import best_pair, weighted_sum
from strategies.core.state import ServerState
from strategies.core.stored_pairs import StoredPairs, StoredPairsParams


@dataclass(frozen=True)
class Params(StoredPairsParams):
    """`max_gigabytes`, see `StoredPairsParams`."""


class FlexLora(StoredPairs):
    """B A = the best rank-r approximation of sum_k p_k B_k A_k, each client's cut to its rank.

    Their section 3.2, by HLoRA's QR form (arXiv 2503.00813): the dense product is never formed. QR
    of the stacked factors and the singular values of a core of R = sum_k r_k rows cost about
    R^2 (inputs + outputs) + R^3 operations a layer. As exact as rank r can be: what is left out are
    the singular values behind the r-th. Since they are sorted, a smaller rank is the first rows.
    Travels, each way: r_k (inputs + outputs) numbers a layer.
    """

    mixed_ranks = True

    def step(self, state: ServerState, server_round: int, pairs: Arrays) -> Arrays:
        """Decompose the mean product, layer by layer."""
        old = pairs_in(pairs)
        new: dict[str, Pair] = {}
        for layer, terms in self.terms().items():
            before = old[layer]
            new[layer] = best_pair(weighted_sum(terms), before.rank, before.a)
        return factors_of(new)
