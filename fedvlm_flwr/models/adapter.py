"""Save what was trained so that plain transformers and peft can load it."""

import re
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file

from fedvlm_flwr.config.schema import Tuning
from fedvlm_flwr.models.base import VLM
from fedvlm_flwr.wire import Arrays


def save_adapter(vlm: VLM, tuning: Tuning, arrays: Arrays, folder: Path) -> None:
    """Write the trained tensors of a run as a PEFT adapter and as plain files per full part.

    With adapters among them, `PeftModel.from_pretrained(base, folder)` gives the tuned model, the
    connector included (it is one of the adapter's `modules_to_save`). Each fully trained part is
    also written as `<part>.safetensors` under its own names, for `module.load_state_dict`.

    Args:
        arrays: the trained tensors by stable name, part first.
        folder: is made when absent; its files are overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    modes = {part: mode for stage in tuning.stages for part, mode in stage.trained.items()}
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    for part in (part for part, mode in modes.items() if mode == "full"):
        own = {
            n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")
        }
        save_file(own, str(folder / f"{part}.safetensors"))
    if "lora" not in modes.values():
        return
    full = [vlm.parts[part] for part, mode in modes.items() if mode == "full"]
    config = LoraConfig(
        r=tuning.lora.r,
        lora_alpha=tuning.lora.alpha,  # type: ignore[arg-type]
        lora_dropout=tuning.lora.dropout,
        # A regular expression on the whole path: the vision tower has layers of the same names.
        target_modules=rf"{re.escape(vlm.parts['llm'])}\..*\.({'|'.join(vlm.lora_targets)})",
        modules_to_save=[path.rpartition(".")[2] for path in full] or None,
        base_model_name_or_path=str(getattr(vlm.module.config, "_name_or_path", "")) or None,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    named = {_peft_name(vlm, name): tensor for name, tensor in tensors.items()}
    save_file(named, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})


def _peft_name(vlm: VLM, name: str) -> str:
    part, _, rest = name.partition(".")
    suffix = ".weight" if rest.endswith(("lora_A", "lora_B")) else ""
    return f"base_model.model.{vlm.parts[part]}.{rest}{suffix}"
