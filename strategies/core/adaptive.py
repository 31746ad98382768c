"""The parameters that the adaptive server optimizers share."""

from dataclasses import dataclass, field

from fedvlm_flwr.settings import setting
from strategies.core.params import AlgorithmParams


@dataclass(frozen=True)
class AdaptiveParams(AlgorithmParams):
    """Server step size and the constant beside the root (Reddi et al. 2021, Algorithm 2).

    The clients' schedule makes D smaller from round to round, which m and v do not know: they are
    of D / r, and the step is r times theirs, with r the round's `Federation.lr_ratio`. At a
    constant learning rate that is the paper's rule.
    """

    eta: float = field(metadata=setting(above=0, most=1e6))
    """Server step size: about how far a weight moves in a round, in its own unit."""
    tau: float = field(metadata=setting(least=1e-12, most=1e6))
    """Constant beside the root of v; the larger, the less is adapted."""


@dataclass(frozen=True)
class MomentParams(AdaptiveParams):
    """... and how slowly the two moments forget."""

    beta_1: float = field(metadata=setting(least=0, below=1))
    """Share of the first moment m that a round leaves."""
    beta_2: float = field(metadata=setting(least=0, below=1))
    """Share of the second moment v that a round leaves."""
