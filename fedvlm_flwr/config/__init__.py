"""Configuration: `conf/` + run-config -> one frozen `Config`."""

from fedvlm_flwr.config.compose import Scalar, compose, from_hydra, to_yaml
from fedvlm_flwr.config.schema import Choice, Config, Stage
from fedvlm_flwr.config.typed import typed

__all__ = ["Choice", "Config", "Scalar", "Stage", "compose", "from_hydra", "to_yaml", "typed"]
