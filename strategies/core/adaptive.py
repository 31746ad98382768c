"""The parameters that the adaptive server optimisers share."""

from dataclasses import dataclass

from fedvlm_flwr.errors import ConfigError


@dataclass(frozen=True)
class AdaptiveParams:
    """Server step size and the constant beside the root (Reddi et al. 2021, Algorithm 2)."""

    eta: float
    tau: float

    def __post_init__(self) -> None:
        for key in ("eta", "tau"):
            value = getattr(self, key)
            if not 0 < value < float("inf"):
                raise ConfigError(f"algorithm.{key}={value} must be finite and above 0.")


@dataclass(frozen=True)
class MomentParams(AdaptiveParams):
    """... and how slowly the two moments forget."""

    beta_1: float
    beta_2: float

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("beta_1", "beta_2"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                raise ConfigError(f"algorithm.{key}={value} must lie in [0, 1).")
