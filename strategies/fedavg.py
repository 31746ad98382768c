"""Federated averaging (McMahan et al. 2017, arXiv 1602.05629)."""

from dataclasses import dataclass

from strategies.base import FederatedStrategy
from strategies.core.hooks import ClientHook


@dataclass(frozen=True)
class Params:
    """FedAvg has no parameters of its own."""


class Algorithm(FederatedStrategy):
    """w = sum_k p_k w_k with p_k = n_k / sum n (their Algorithm 1): the mean is the new model."""


class Hook(ClientHook):
    """Plain local training."""
