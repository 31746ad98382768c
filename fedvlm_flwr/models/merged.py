"""Adapters written into their layers while a model answers, and taken out again to the bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fedvlm_flwr.models.parts import adapted_layers
from fedvlm_flwr.models.peft_layers import Linear
from fedvlm_flwr.models.vlm import VLM

ADAPTER = "default"  # peft's name of the one adapter
MOST = 64e6  # bytes of weights that may lie in memory twice


@contextmanager
def merged_adapters(vlm: VLM) -> Iterator[None]:
    """Have layers compute with W + s B A while the block lasts, instead of W and s B A apart.

    Of a small model the three products and two sums beside each layer's own are most of what an
    answer costs. Only float32 weights take an adapter without rounding it away; those of other
    layers, of layers with a variant (DoRA) and of large models are left as they are. What weights
    were before is put back, not computed back.
    """
    adapted = adapted_layers(vlm) if "llm" in vlm.parts else {}
    layers = [layer for layer in adapted.values() if _takes(layer)]
    weights = [layer.get_base_layer().weight for layer in layers]
    if sum(weight.nbytes for weight in weights) > MOST:
        layers, weights = [], []
    before = [weight.data for weight in weights]
    try:
        with torch.no_grad():
            for layer, weight, own in zip(layers, weights, before, strict=True):
                weight.data = own + layer.get_delta_weight(ADAPTER)
                layer.merged_adapters.append(ADAPTER)
        yield
    finally:
        for layer, weight, own in zip(layers, weights, before, strict=True):
            weight.data = own
            layer.merged_adapters.clear()


def _takes(layer: Any) -> bool:
    """Whether an adapter can be written into a layer."""
    if not isinstance(layer, Linear) or ADAPTER in layer.lora_variant:
        return False
    base = layer.get_base_layer()
    return isinstance(base, torch.nn.Linear) and base.weight.dtype == torch.float32
