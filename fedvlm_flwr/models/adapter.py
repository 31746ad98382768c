"""Save what was trained so that plain transformers and peft can load it."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import save_file

from fedvlm_flwr.arrays import Arrays, section
from fedvlm_flwr.config import Tuning
from fedvlm_flwr.models.parts import cast_paths, lora_targets
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.paths import share

RELOAD = "reload.json"


def save_adapter(vlm: VLM, tuning: Tuning, arrays: Arrays, folder: Path) -> None:
    """Write the shared tensors of a run as a PEFT adapter and as plain files per full part.

    With adapters among them, `PeftModel.from_pretrained(base, folder)` gives the tuned model, the
    connector included (it is one of the adapter's `modules_to_save`). Each fully trained part is
    also written as `<part>.safetensors` under its own names, for `module.load_state_dict` (an LLM's
    without its embedding table, which is the base's). `reload.json` says what the tensors alone do
    not, see `reload_facts`.

    Args:
        arrays: the trained tensors by stable name, part first, as far as the server has them.
        folder: is made when absent; its files are overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name.partition(".")[0] for name in arrays}
    modes = {part: mode for part, mode in tuning.modes.items() if part in parts}
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    for part in (part for part, mode in modes.items() if "full" in mode):
        own = {name: torch.from_numpy(v) for name, v in section(arrays, f"{part}.").items()}
        save_file(own, str(folder / f"{part}.safetensors"))
    facts = json.dumps(reload_facts(vlm, modes), indent=2, ensure_ascii=False)
    (folder / RELOAD).write_text(f"{facts}\n", encoding="utf-8")
    if "lora" in modes.get("llm", ()):
        _save_lora(vlm, tuning, modes, tensors, folder)
    share(folder)


def _save_lora(
    vlm: VLM,
    tuning: Tuning,
    modes: Mapping[str, Collection[str]],
    tensors: Mapping[str, torch.Tensor],
    folder: Path,
) -> None:
    full = [path_in_root(vlm, part) for part, mode in modes.items() if "full" in mode]
    names = "|".join(map(re.escape, lora_targets(vlm, tuning.lora)))
    config = LoraConfig(
        r=tuning.lora.r,
        lora_alpha=tuning.lora.alpha,  # type: ignore[arg-type]
        lora_dropout=tuning.lora.dropout,
        # A regular expression on the whole path: the vision tower has layers of the same names.
        target_modules=rf"{re.escape(path_in_root(vlm, 'llm'))}\..*\.({names})",
        modules_to_save=[path.rpartition(".")[2] for path in full] or None,
        base_model_name_or_path=vlm.base or None,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    named = {_peft_name(vlm, name): tensor for name, tensor in tensors.items()}
    save_file(named, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})


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


def _peft_name(vlm: VLM, name: str) -> str:
    part, _, rest = name.partition(".")
    suffix = ".weight" if rest.endswith(("lora_A", "lora_B")) else ""
    return f"base_model.model.{path_in_root(vlm, part)}.{rest}{suffix}"
