"""Mixture-of-experts language models: what of them takes no adapter."""

from fedvlm_flwr.config import Tuning
from fedvlm_flwr.models.parts import part_module
from fedvlm_flwr.models.vlm import VLM, Skeleton


def expert_numbers(vlm: VLM | Skeleton) -> int:
    """Numbers in the LLM's experts that are stacked in one tensor and are no linear layers."""
    return sum(
        parameter.numel()
        for layer in part_module(vlm, "llm").modules()
        if type(layer).__name__.endswith("Experts")
        for parameter in layer.parameters(recurse=False)
        if parameter.dim() == 3  # [experts, out, in]
    )


def experts_without_adapters(vlm: VLM | Skeleton, tuning: Tuning) -> str:
    """What has to be said of a tuning with adapters; empty where every expert can have one."""
    numbers = expert_numbers(vlm) if "lora" in tuning.modes.get("llm", ()) else 0
    if not numbers:
        return ""
    return (
        f"{numbers:,} numbers of the LLM's experts take no adapter: they are stacked tensors, no "
        "linear layers. Adapters train what lies around them; tuning=full_llm trains them too."
    )
