"""Configuration: `conf/` + run-config -> one frozen `Config`."""

from fedvlm_flwr.config.carrying import Engine, Wire
from fedvlm_flwr.config.choice import Choice, make_choice
from fedvlm_flwr.config.compose import Scalar, compose, from_hydra, to_yaml
from fedvlm_flwr.config.schema import Config
from fedvlm_flwr.config.scoring import Eval
from fedvlm_flwr.config.training import Train
from fedvlm_flwr.config.tuning import Lora, Stage, Tuning
from fedvlm_flwr.config.typed import typed

__all__ = [
    "Choice",
    "Config",
    "Engine",
    "Eval",
    "Lora",
    "Scalar",
    "Stage",
    "Train",
    "Tuning",
    "Wire",
    "compose",
    "from_hydra",
    "make_choice",
    "to_yaml",
    "typed",
]
