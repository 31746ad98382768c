"""Vision-language models: chosen by kind, loaded behind one interface, tiny ones made here.

A kind is a folder with a module `kind` that has a frozen dataclass `Params` (a `Loading`), a
function `load(name, params, device) -> VLM`, the functions `prepare(name, params, progress)` and
`found(name, params)` that give the folder of a model that is made here, `parts(params)`, the module
path of each part, and `skeleton(params) -> Skeleton`, the network on torch's meta device.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.models.vlm import VLM, Skeleton
from fedvlm_flwr.plugins import load_module

KIND = "kind"  # the module in a family's folder that makes it one

# Where it is installed, peft imports bitsandbytes, which warns of an optional package each time.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def load_model(name: str, kind: str, params: Mapping[str, Any], device: torch.device) -> VLM:
    """The model, in evaluation mode on `device`, nothing of it trainable yet.

    Args:
        name: the model's name, the first part of its cache folder's name.
        kind: a folder of `fedvlm_flwr.models` with a module `kind`.
        params: the other keys of the model's YAML.
        device: where the network shall lie.

    Raises:
        ConfigError: the kind is unknown, or a key of `params`, or a value does not fit.
        ModelError: the model is not prepared (run `fedvlm prepare`), is corrupt or unreadable.
    """
    module = load_module(__name__, kind, "model kind", KIND)
    model: VLM = module.load(name, typed(module.Params, params, "model"), device)
    return model


def prepare_model(
    name: str,
    kind: str,
    params: Mapping[str, Any],
    progress: Callable[[int, int, float], None] | None = None,
) -> Path | None:
    """Make the model's files if it has to be made and is not there; None if there is nothing to do.

    Args:
        name: as for `load_model`.
        kind: as for `load_model`.
        params: as for `load_model`.
        progress: called with the steps done, the steps in all and the last loss.
    """
    module = load_module(__name__, kind, "model kind", KIND)
    folder: Path | None = module.prepare(name, typed(module.Params, params, "model"), progress)
    return folder


def prepared_model(name: str, kind: str, params: Mapping[str, Any]) -> Path | None:
    """The folder of a model that `prepare_model` has made; None where there is none.

    Raises:
        ModelError: its files are damaged.
    """
    module = load_module(__name__, kind, "model kind", KIND)
    folder: Path | None = module.found(name, typed(module.Params, params, "model"))
    return folder


def model_parts(kind: str, params: Mapping[str, Any]) -> Mapping[str, str]:
    """The module path of each part that the model has, told without loading it.

    Raises:
        ConfigError: as `load_model`.
        ModelError: the model's configuration cannot be read.
    """
    module = load_module(__name__, kind, "model kind", KIND)
    found: Mapping[str, str] = module.parts(typed(module.Params, params, "model"))
    return found


def model_skeleton(kind: str, params: Mapping[str, Any]) -> Skeleton:
    """The model's network without weights, on torch's meta device: for counting.

    Raises:
        ConfigError: as `load_model`.
        ModelError: neither the model's own configuration nor its sizes in the YAML are at hand.
    """
    module = load_module(__name__, kind, "model kind", KIND)
    found: Skeleton = module.skeleton(typed(module.Params, params, "model"))
    return found
