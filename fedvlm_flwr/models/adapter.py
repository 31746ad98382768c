"""Save what was trained so that plain transformers and peft can load it."""

import json
import re
from collections.abc import Collection, Mapping
from math import isclose
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from fedvlm_flwr.adapters import FACTORS, LORA_A, is_factor, layers_in, negative, stacked
from fedvlm_flwr.arrays import Arrays, section
from fedvlm_flwr.config import Lora, Tuning
from fedvlm_flwr.config.tuning import FROM_THE_BASE
from fedvlm_flwr.models.parts import adapted_layers, cast_paths, lora_targets
from fedvlm_flwr.models.peft_layers import LoraConfig
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.paths import share

RELOAD = "reload.json"
TENSORS = "adapter_model.safetensors"
SHARED = "shared.safetensors"  # what there is of adapters that are not whole


def save_adapter(
    vlm: VLM,
    tuning: Tuning,
    arrays: Arrays,
    folder: Path,
    residual: Arrays | None = None,
    first: Arrays | None = None,
) -> None:
    """Write the shared tensors of a run as a PEFT adapter and as plain files per full part.

    With adapters among them, `PeftModel.from_pretrained(base, folder)` gives the tuned model, the
    connector included (it is one of the adapter's `modules_to_save`). Each fully trained part is
    also written as `<part>.safetensors` under its own names, for `module.load_state_dict` (an LLM's
    without its embedding table, which is the base's). `reload.json` says what the tensors alone do
    not, see `reload_facts`.

    Where a half of every adapter stays with the clients, there is no adapter to load: the other
    half is `shared.safetensors`, and `reload.json` names what is missing under `lacks`.

    Args:
        arrays: the trained tensors by stable name, part first, as far as the server has them.
        folder: is made when absent; its files are overwritten.
        residual: factors of a frozen term beside the base; it becomes a part of the adapter.
        first: the tensors as they were before the run, where the tuning's init has taken their
            product out of the base: the adapter is one for the base as it is published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name.partition(".")[0] for name in arrays}
    modes = {part: mode for part, mode in tuning.modes.items() if part in parts}
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    for part in (part for part, mode in modes.items() if "full" in mode):
        own = {name: torch.from_numpy(v) for name, v in section(arrays, f"{part}.").items()}
        save_file(own, str(folder / f"{part}.safetensors"))
    lacks = missing_halves(arrays)
    facts = reload_facts(vlm, modes) | ({"lacks": lacks} if lacks else {})
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    (folder / RELOAD).write_text(f"{text}\n", encoding="utf-8")
    if lacks:
        save_file(tensors, str(folder / SHARED))
    elif "lora" in modes.get("llm", ()):
        more = [residual or {}]
        if tuning.lora.init in FROM_THE_BASE and first:
            more.append(negative({name: first[name] for name in arrays if is_factor(name)}))
        whole = arrays | stacked([{n: v for n, v in arrays.items() if is_factor(n)}, *more])
        tensors = {name: torch.from_numpy(values) for name, values in whole.items()}
        _save_lora(vlm, tuning, modes, tensors, folder)
    share(folder)


def missing_halves(arrays: Arrays) -> list[str]:
    """The halves of adapters that are not there though the other ones are, by stable name."""
    layers = {name.rpartition(".")[0] for name in arrays if is_factor(name)}
    halves = {f"{layer}.{half}" for layer in layers for half in FACTORS}
    return sorted(halves - set(arrays))


def _save_lora(
    vlm: VLM,
    tuning: Tuning,
    modes: Mapping[str, Collection[str]],
    tensors: Mapping[str, torch.Tensor],
    folder: Path,
) -> None:
    full = [path_in_root(vlm, part) for part, mode in modes.items() if "full" in mode]
    names = "|".join(map(re.escape, lora_targets(vlm, tuning.lora)))
    lora, llm = tuning.lora, re.escape(path_in_root(vlm, "llm"))
    ranks, alphas = _patterns(vlm, tensors, lora)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        rank_pattern=ranks,
        alpha_pattern=alphas,
        lora_dropout=lora.dropout,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        # A regular expression on the whole path: the vision tower has layers of the same names.
        target_modules=rf"{llm}\.(?:{lora.target_pattern})"
        if lora.target_pattern
        else rf"{llm}\..*\.({names})",
        modules_to_save=[path.rpartition(".")[2] for path in full] or None,
        base_model_name_or_path=vlm.base or None,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    named = {peft_name(vlm, name): tensor.contiguous() for name, tensor in tensors.items()}
    save_file(named, str(folder / TENSORS), metadata={"format": "pt"})


def _patterns(
    vlm: VLM, tensors: Mapping[str, torch.Tensor], lora: Lora
) -> tuple[dict[str, int], dict[str, float]]:
    """Peft's patterns for the layers whose rank or scale are not what r gives."""
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    scales = {name: layer.scaling["default"] for name, layer in adapted_layers(vlm).items()}
    for layer in layers_in(tensors):
        rank = int(tensors[f"{layer}.{LORA_A}"].shape[0])
        alpha = float(scales[layer] * (rank**0.5 if lora.use_rslora else rank))
        if rank != lora.r or not isclose(alpha, lora.alpha):
            path = re.escape(f"{path_in_root(vlm, 'llm')}.{layer.partition('.')[2]}")
            ranks[path], alphas[path] = rank, alpha
    return ranks, alphas


def reload_facts(vlm: VLM, modes: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """What gives the run's answers in plain transformers, beside the tensors.

    Args:
        modes: how each trained part was trained.

    Returns:
        `base` and `dtype`, for `from_pretrained`; `float32`, the modules that are held in float32
        on a base of another precision; `cast`, those that are then called in their own precision;
        and the model's `prompt_facts`. Paths are those of the network that the adapter is for.
    """
    root: Any = vlm.module.get_submodule(vlm.root)
    dtype = str(root.config.dtype).removeprefix("torch.")
    full = [part for part, mode in modes.items() if "full" in mode and dtype != "float32"]
    cast = dict.fromkeys(path for part in full for path in cast_paths(vlm, part))
    return {
        "base": vlm.base,
        "dtype": dtype,
        "float32": [path_in_root(vlm, part) for part in full],
        "cast": [path.removeprefix(f"{vlm.root}." if vlm.root else "") for path in cast],
        **vlm.prompt_facts(),
    }


def path_in_root(vlm: VLM, part: str) -> str:
    """A part's module path inside the network that the adapter is for."""
    return vlm.parts[part].removeprefix(f"{vlm.root}." if vlm.root else "")


def peft_name(vlm: VLM, name: str) -> str:
    """A tensor's name in the saved adapter, by its stable name."""
    part, _, rest = name.partition(".")
    suffix = ".weight" if rest.endswith(("lora_A", "lora_B")) else ""
    return f"base_model.model.{path_in_root(vlm, part)}.{rest}{suffix}"
