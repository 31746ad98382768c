"""Federated averaging (McMahan et al. 2017, arXiv 1602.05629)."""

from dataclasses import dataclass

from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """FedAvg has no parameters of its own."""


class FedAvg(FederatedStrategy):
    """w = sum_k p_k w_k with p_k = n_k / sum n (their Algorithm 1): the mean is the new model."""
