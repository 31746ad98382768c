"""Which tensors are trained, under which stable names they travel, and how they are exchanged."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from fedvlm_flwr.config.schema import Lora, Stage
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.base import VLM

_ADAPTER = ".default"  # peft's name of the one adapter, inside the names of its tensors


def add_lora(vlm: VLM, lora: Lora, seed: int) -> None:
    """Put low-rank adapters on every linear layer of the LLM but the head (Hu et al. 2021).

    A starts random from `seed`, B at zero, so that the model's answers do not change.
    """
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft divides it by r, any number will do
        lora_dropout=lora.dropout,
        target_modules=list(vlm.lora_targets),
    )
    devices = [vlm.device] if vlm.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, part_module(vlm, "llm"))


def part_module(vlm: VLM, part: str) -> nn.Module:
    """The module of a named part.

    Raises:
        ModelError: the model has no such part.
    """
    if part not in vlm.parts:
        raise ModelError(
            f"The model has no part '{part}' (it has: {', '.join(vlm.parts)}); "
            "choose a tuning that does not train it."
        )
    return vlm.module.get_submodule(vlm.parts[part])


def set_trainable(vlm: VLM, stage: Stage) -> dict[str, nn.Parameter]:
    """Freeze everything but what the stage trains, and name that.

    Returns:
        The trained parameters by stable name, part first: `connector.linear_1.weight`,
        `llm.layers.3.self_attn.q_proj.lora_A`; sorted.

    Raises:
        ModelError: the stage trains a part that the model does not have.
    """
    vlm.module.requires_grad_(False)
    trained: dict[str, nn.Parameter] = {}
    for part, mode in stage.trained.items():
        for name, parameter in part_module(vlm, part).named_parameters():
            is_lora = "lora_" in name
            if is_lora == (mode == "lora"):
                parameter.requires_grad_(True)
                trained[f"{part}.{stable_name(name)}"] = parameter
    return dict(sorted(trained.items()))


def stable_name(name: str) -> str:
    """A parameter's name without peft's wrappers."""
    if "lora_" in name:
        return name.removesuffix(f"{_ADAPTER}.weight")
    return name.replace(".base_layer.", ".")


def read(parameters: Mapping[str, nn.Parameter]) -> dict[str, NDArray[np.float32]]:
    """Copies of the parameters as float32 arrays."""
    return {
        name: parameter.detach().to("cpu", torch.float32).numpy().copy()
        for name, parameter in parameters.items()
    }


def write(
    parameters: Mapping[str, nn.Parameter], arrays: Mapping[str, NDArray[np.float32]]
) -> None:
    """Overwrite the parameters with arrays of the same names and shapes.

    Raises:
        ModelError: names or shapes differ; names the first that does.
    """
    if odd := sorted(set(parameters) ^ set(arrays)):
        raise ModelError(
            f"The arrays and the model's trained tensors differ, first in '{odd[0]}'; "
            "use the same model and tuning on both sides."
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            values = torch.from_numpy(arrays[name])
            if values.shape != parameter.shape:
                raise ModelError(
                    f"'{name}' has shape {tuple(values.shape)}, the model's has "
                    f"{tuple(parameter.shape)}; use the same model and tuning on both sides."
                )
            parameter.copy_(values)
