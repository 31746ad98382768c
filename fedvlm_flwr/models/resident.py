"""The base model that stays in the process: loaded once, only its trained parts are exchanged."""

import resource
import threading
from dataclasses import dataclass, field

import torch

from fedvlm_flwr.config import Config, Stage
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models import load_model
from fedvlm_flwr.models.base import VLM
from fedvlm_flwr.models.features import FeatureCache
from fedvlm_flwr.models.parts import add_lora, read, set_trainable
from fedvlm_flwr.seeding import torch_seed
from fedvlm_flwr.wire import Arrays


@dataclass
class Resident:
    """A loaded model with its adapters and its picture features.

    Attributes:
        initial: for each stage the trained tensors as they were when the model was loaded; what a
            run in this process leaves in the model never reaches the next run's start.
    """

    vlm: VLM
    stages: list[Stage]
    features: FeatureCache = field(init=False)
    initial: list[Arrays] = field(init=False)

    def __post_init__(self) -> None:
        self.features = FeatureCache(self.vlm)
        self.initial = [read(set_trainable(self.vlm, stage)) for stage in self.stages]


_residents: dict[str, Resident] = {}
_lock = threading.Lock()
_loads = 0


def resident(config: Config, device: torch.device) -> Resident:
    """The process's model for a configuration; loaded at the first call, kept afterwards.

    Another model, tuning, seed or device replaces the kept one, so that one base at most is held.
    """
    global _loads  # noqa: PLW0603  # the count is of the process, as the model is
    key = repr((config.model, config.tuning, config.seed, str(device)))
    with _lock:
        if key not in _residents:
            _residents.clear()
            choice = config.model
            vlm = load_model(choice.name, choice.kind, choice.params, device)
            _loads += 1
            modes = {mode for stage in config.tuning.stages for mode in stage.trained.values()}
            if "lora" in modes:
                add_lora(vlm, config.tuning.lora, torch_seed(config.seed, "lora"))
            vlm.module.eval()
            _residents[key] = Resident(vlm, config.tuning.stages)
        return _residents[key]


def load_count() -> int:
    """How many times this process has loaded a base model."""
    return _loads


def process_facts() -> dict[str, int]:
    """What the process has used so far: peak resident memory in bytes, base models loaded."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return {"peak_memory_bytes": peak, "model_loads": load_count()}


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
