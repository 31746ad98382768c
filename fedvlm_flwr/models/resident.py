"""The base model that stays in the process: loaded once, only its trained parts are exchanged."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config, Stage
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models import load_model
from fedvlm_flwr.models.features import FeatureCache
from fedvlm_flwr.models.parts import (
    fit_for,
    read,
    set_trainable,
    write,
)
from fedvlm_flwr.models.residual import Residual
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.seeding import torch_seed


@dataclass
class Resident:
    """A loaded model with its adapters and its picture features.

    Attributes:
        initial: for each stage the trained tensors as they were when the model was loaded; what a
            run in this process leaves in the model never reaches the next run's start.
        first: the same over all stages.
    """

    vlm: VLM
    stages: list[Stage]
    features: FeatureCache
    initial: list[Arrays] = field(init=False)
    first: Arrays = field(init=False)
    _by_stage: list[dict[str, nn.Parameter]] = field(init=False, repr=False)
    _tensors: dict[str, nn.Parameter] = field(init=False, repr=False)
    _residual: Residual = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._residual = Residual(self.vlm)
        self._by_stage = [set_trainable(self.vlm, stage) for stage in self.stages]
        self._tensors = {name: p for stage in self._by_stage for name, p in stage.items()}
        self.first = read(self._tensors)
        self.initial = [{name: self.first[name] for name in stage} for stage in self._by_stage]

    @cached_property
    def base_fingerprint(self) -> str:
        """The sha256 over the weights that no stage trains, in hex, made when first asked for.

        Of a quantized base it is over what is not quantized, since CPUs and GPUs may round the rest
        differently.
        """
        trained = {id(parameter) for parameter in self._tensors.values()}
        tensors = self.vlm.module.state_dict(keep_vars=True)
        digest = hashlib.sha256()
        for name, tensor in sorted(tensors.items()):
            if id(tensor) not in trained and tensor.is_floating_point():
                plain = tensor.detach().cpu().contiguous().reshape(-1)
                digest.update(f"{name} {plain.dtype} {tuple(tensor.shape)}".encode())
                digest.update(plain.view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def place(
        self,
        stage: int,
        arrays: Arrays,
        previous: Arrays,
        residual: Arrays | None = None,
        resting: str = "",
    ) -> dict[str, nn.Parameter]:
        """Put the model where a stage has it, whoever has used it since.

        Args:
            arrays: every tensor that the stage trains.
            previous: the previous stages' result; tensors of later stages are as at first.
            residual: factors of a frozen term beside adapted layers; None: there is none.
            resting: the ending of the names that are not trained now.

        Returns:
            The stage's trained parameters, the only ones that have gradients.
        """
        parameters = dict(self._by_stage[stage])
        for name, parameter in self._tensors.items():  # all others are frozen from the beginning
            parameter.requires_grad_(name in parameters)
        write(parameters, arrays)
        self._residual.place(residual or {})
        others = {name: p for name, p in self._tensors.items() if name not in parameters}
        write(others, {name: previous.get(name, self.first[name]) for name in others})
        for name in [name for name in parameters if resting and name.endswith(resting)]:
            parameters.pop(name).requires_grad_(False)
        return parameters


def load_resident(config: Config, device: torch.device) -> Resident:
    """Load the configured model and make it ready to be trained.

    Raises:
        ConfigError: the tuning does not suit the model.
        ModelError: the model cannot be loaded, or lacks a part that is to be trained.
    """
    vlm = load_model(config.model, device)
    make_trainable(vlm, config)
    vlm.module.eval()
    engine = config.engine
    features = FeatureCache(vlm, engine.feature_megabytes, engine.features_on_disk)
    return Resident(vlm, config.tuning.stages, features)


def make_trainable(vlm: VLM, config: Config) -> None:
    """Add the adapters that the tuning asks for, and hold what it trains in float32.

    Raises:
        ConfigError: a part that starts random is not trained in the first stage, or a quantized one
            is to be trained in full.
    """
    tuning, choice = config.tuning, config.model
    for part in vlm.untrained:
        if part not in tuning.stages[0].trained:
            raise ConfigError(
                f"The {part} of model={choice.name} starts random and tuning={tuning.name} does "
                f"not train it in its first stage; give model.{part}_weights, or choose a tuning "
                "that does."
            )
    fit_for(vlm, tuning, torch_seed(config.seed, "lora"))


def choose_device(name: str) -> torch.device:
    """The device of `engine.device` or of a site's node-config.

    Raises:
        ConfigError: cuda is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"device={name} but torch sees no CUDA device; set device to cpu or auto."
        )
    return torch.device(name)
