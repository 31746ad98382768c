"""LoRA-FAIR (Bian et al. 2024, Federated LoRA Fine-Tuning with Aggregation and Initialization)."""

from dataclasses import dataclass, field

import numpy as np

from fedvlm_flwr.adapters import Pair, factors_of
from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.settings import setting
from strategies.core.state import ServerState
from strategies.core.stored_pairs import StoredPairs, StoredPairsParams, Terms, mean_pair


@dataclass(frozen=True)
class Params(StoredPairsParams):
    """How near B stays to its mean."""

    ridge: float = field(metadata=setting(least=1e-12, most=1e6))
    """Weight of ||dB||^2, in units of the mean square of A's rows; large: the plain mean."""


class LoraFair(StoredPairs):
    """A = mean A_k, B = mean B_k + dB, with (B + dB) A near the mean product (arXiv 2411.14961).

    dB is the least of ||sum_k p_k B_k A_k - (B + dB) A||^2 + ridge ||dB||^2 in closed form, where
    the paper descends on a cosine distance. Not exact: only what A's rows span can be mended.
    Travels as FedAvg's. The server stores all pairs; K r^2 (inputs + outputs) operations a layer.
    """

    params: Params

    def step(self, state: ServerState, server_round: int, pairs: Arrays) -> Arrays:
        """The means, B corrected."""
        ridge = self.params.ridge
        return factors_of({k: corrected(each, ridge) for k, each in self.terms().items()})


def corrected(terms: Terms, ridge: float) -> Pair:
    """The mean A, and the B whose product with it is nearest to the mean product."""
    mean = mean_pair(terms)
    a, b = mean.a.astype(np.float64), mean.b.astype(np.float64)
    gram = a @ a.T
    target = sum(
        w * pair.b.astype(np.float64) @ (pair.a.astype(np.float64) @ a.T) for w, pair in terms
    )
    weight = ridge * np.trace(gram) / len(gram)
    if not weight:
        return mean
    step = np.linalg.solve(gram + weight * np.eye(len(gram)), (target - b @ gram).T).T
    return Pair(mean.a, float32(b + step))
