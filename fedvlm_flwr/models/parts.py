"""Which tensors are trained, under which stable names they travel, and how they are exchanged."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedvlm_flwr.config import Lora, Stage, Tuning
from fedvlm_flwr.config.tuning import FROM_THE_BASE
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.dropout import replace_dropout
from fedvlm_flwr.models.lora_linear import replace_lora
from fedvlm_flwr.models.peft_layers import LoraConfig, LoraLayer, inject_adapter_in_model
from fedvlm_flwr.models.vlm import VLM, Skeleton

_ADAPTER = ".default"  # peft's name of the one adapter, inside the names of its tensors


def linear_names(llm: nn.Module) -> tuple[str, ...]:
    """The distinct last names of the linear layers inside a language model without its head."""
    names = {
        name.rpartition(".")[2]
        for name, layer in llm.named_modules()
        if isinstance(layer, nn.Linear)
    }
    return tuple(sorted(names))


def lora_targets(vlm: VLM | Skeleton, lora: Lora) -> tuple[str, ...]:
    """The LLM's linear layers that take an adapter: those configured, or all but the head.

    Raises:
        ConfigError: the LLM has no linear layer of a configured name.
    """
    if lora.targets is None:
        return vlm.lora_targets
    if odd := [name for name in lora.targets if name not in vlm.lora_targets]:
        raise ConfigError(
            f"tuning.lora.targets names '{odd[0]}', which is no linear layer of the LLM; choose "
            f"from: {', '.join(vlm.lora_targets)}, or null for all of them."
        )
    return tuple(lora.targets)


def add_lora(vlm: VLM | Skeleton, lora: Lora, seed: int) -> None:
    """Put low-rank adapters on linear layers of the LLM (Hu et al. 2021), in float32.

    A starts random from `seed`, B at zero, so that the model's answers do not change; nor do they
    with the inits that take the product s B A out of the base's weight.

    Raises:
        ConfigError: see `lora_targets`; or no layer's name fits `target_pattern`, or a pattern of
            `rank_pattern`; or the init needs weights that the base holds in 4 or 8 bits.
    """
    llm = part_module(vlm, "llm")
    device = next(llm.parameters()).device.type
    sizes_only = device == "meta"  # there are no weights to start from, and no need to
    if lora.init in FROM_THE_BASE and any(not p.is_floating_point() for p in llm.parameters()):
        raise ConfigError(
            f"tuning.lora.init={lora.init} starts from the base's weights, which are quantised; "
            "choose default or gaussian, or set model.quantize=null."
        )
    config = LoraConfig(
        r=lora.r,
        rank_pattern=dict(lora.rank_pattern or {}),
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft divides it by r, any number will do
        lora_dropout=lora.dropout,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        init_lora_weights=True if sizes_only or lora.init == "default" else lora.init,  # type: ignore[arg-type]
        target_modules=lora.target_pattern or list(lora_targets(vlm, lora)),
    )
    with torch.random.fork_rng(
        devices=list(range(torch.cuda.device_count())) if device == "cuda" else []
    ):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, llm)
        except ValueError as error:
            if lora.target_pattern is None:
                raise
            raise ConfigError(
                f"tuning.lora.target_pattern={lora.target_pattern!r} fits no layer of the LLM "
                f"that can take an adapter ({str(error).splitlines()[0]}); mend it."
            ) from error
    _require_fitting(lora, adapted_layers(vlm))
    for name, parameter in llm.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()


def _require_fitting(lora: Lora, layers: Collection[str]) -> None:
    """Refuse the rank of layers that are not there, by peft's own way of reading a pattern."""
    names = [layer.partition(".")[2] for layer in layers]
    for pattern in lora.rank_pattern or ():
        if not any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
            raise ConfigError(
                f"tuning.lora.rank_pattern names {pattern!r}, which fits no layer that has an "
                f"adapter, e.g. {names[0]!r}; mend it."
            )


def adapted_layers(vlm: VLM | Skeleton) -> dict[str, Any]:
    """The layers of the LLM that have an adapter (peft's `LoraLayer`), by stable name."""
    named = part_module(vlm, "llm").named_modules()
    return {f"llm.{name}": layer for name, layer in named if isinstance(layer, LoraLayer)}


def part_module(vlm: VLM | Skeleton, part: str) -> nn.Module:
    """The module of a named part.

    Raises:
        ModelError: the model has no such part.
    """
    require_part(vlm.parts, part)
    return vlm.module.get_submodule(vlm.parts[part])


def require_part(parts: Collection[str], part: str) -> None:
    """Refuse a part that a model does not have.

    Raises:
        ModelError: names the part and those there are.
    """
    if part not in parts:
        raise ModelError(
            f"The model has no part '{part}' (it has: {', '.join(parts)}); "
            "choose a tuning that does not train it."
        )


def set_trainable(vlm: VLM | Skeleton, stage: Stage) -> dict[str, nn.Parameter]:
    """Freeze everything but what the stage trains, and name that.

    Embedding tables stay frozen in every mode: with the head, they are most of what a small model
    weighs, and a table that travels for the sake of one added token is a known way to send a
    hundred times too much.

    Returns:
        The trained parameters by stable name, part first: `connector.linear_1.weight`,
        `llm.layers.3.self_attn.q_proj.lora_A`; sorted.

    Raises:
        ModelError: the stage trains a part that the model does not have.
    """
    vlm.module.requires_grad_(False)
    trained: dict[str, nn.Parameter] = {}
    for part, mode in stage.trained.items():
        module = part_module(vlm, part)
        tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
        for name, parameter in module.named_parameters():
            is_lora = "lora_" in name
            if is_lora == (mode == "lora") and id(parameter) not in tables:
                parameter.requires_grad_(True)
                trained[f"{part}.{stable_name(name)}"] = parameter
    return dict(sorted(trained.items()))


def fit_for(vlm: VLM | Skeleton, tuning: Tuning, seed: int) -> None:
    """Add the adapters of a tuning, random from `seed`, and hold what it trains in float32.

    Raises:
        ConfigError: an adapter's place is unknown, or a quantized part is to be trained in full.
        ModelError: the model lacks a part that is to be trained.
    """
    if "lora" in tuning.modes.get("llm", ()):
        add_lora(vlm, tuning.lora, seed)
    llm = part_module(vlm, "llm")
    replace_dropout(llm)
    replace_lora(llm)
    for part in (part for part, modes in tuning.modes.items() if "full" in modes):
        train_in_float32(vlm, part)


def train_in_float32(vlm: VLM | Skeleton, part: str) -> None:
    """Hold a part in float32, whatever the rest is in, and have it called with float32.

    Small updates are lost in bfloat16's eight bits. What follows the part casts by itself
    (embeddings, attention) or is made to (the head).

    Raises:
        ConfigError: the part's weights are quantized.
    """
    module = part_module(vlm, part)
    if any(not parameter.is_floating_point() for parameter in module.parameters()):
        raise ConfigError(
            f"The part '{part}' is quantised and cannot be trained in full; choose a tuning with "
            "lora, or set model.quantize=null."
        )
    if all(parameter.dtype == torch.float32 for parameter in module.parameters()):
        return
    module.float()
    for path in cast_paths(vlm, part):
        vlm.module.get_submodule(path).register_forward_pre_hook(_cast_inputs, with_kwargs=True)


def cast_paths(vlm: VLM | Skeleton, part: str) -> list[str]:
    """Modules that are called in their own precision where a part is held in another.

    The part itself, the heads behind it, and layers that attend to what a connector makes as it is
    (Llama 3.2 Vision).
    """
    behind = ("lm_head", "cross_attn")
    names = (name for name, _ in vlm.module.named_modules())
    return [vlm.parts[part], *(name for name in names if name.rpartition(".")[2] in behind)]


def _cast_inputs(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    dtype = next(module.parameters()).dtype

    def cast(value: Any) -> Any:
        return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value

    return tuple(map(cast, args)), {key: cast(value) for key, value in kwargs.items()}


def stable_name(name: str) -> str:
    """A parameter's name without peft's wrappers."""
    if "lora_" in name:
        return name.removesuffix(f"{_ADAPTER}.weight")
    return name.replace(".base_layer.", ".")


def read(parameters: Mapping[str, nn.Parameter]) -> dict[str, NDArray[np.float32]]:
    """Copies of the parameters as float32 arrays on the CPU, each of its parameter's shape."""
    return {
        name: parameter.detach().to("cpu", torch.float32).numpy().copy()
        for name, parameter in parameters.items()
    }


def write(
    parameters: Mapping[str, nn.Parameter], arrays: Mapping[str, NDArray[np.float32]]
) -> None:
    """Overwrite the parameters in place with arrays of the same names and shapes, in any precision.

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
