"""A frozen low-rank term beside adapted layers: what an aggregation leaves over.

It lies beside the weight and is never written into it, so that a base of 4 or 8 bits takes it too
and nothing of it is left when the model is put elsewhere.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fedvlm_flwr.adapters import LORA_A, LORA_B, Pair, pairs_in
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.parts import adapted_layers
from fedvlm_flwr.models.vlm import VLM


class Residual:
    """The term of a model: s B A beside each layer that has one, with the layer's own scale."""

    def __init__(self, vlm: VLM) -> None:
        self._vlm = vlm
        self._handles: list[RemovableHandle] = []

    def place(self, factors: Arrays) -> None:
        """Put these factors in the place of those that are there.

        Args:
            factors: `<layer>.lora_A` and `.lora_B` by stable name; empty: no term.

        Raises:
            ModelError: the model has no adapter in such a place, or of another size.
        """
        for handle in self._handles:
            handle.remove()
        self._handles = []
        layers = adapted_layers(self._vlm) if factors else {}
        for name, pair in pairs_in(factors).items():
            layer = _fitting(layers, name, pair)
            device = layer.lora_A["default"].weight.device
            a, b = (torch.from_numpy(values).to(device) for values in (pair.a, pair.b))
            add = partial(_add, a=a, b=b, scale=float(layer.scaling["default"]))
            self._handles.append(layer.register_forward_hook(add))


def _fitting(layers: Mapping[str, Any], name: str, pair: Pair) -> Any:
    layer = layers.get(name)
    if layer is None:
        raise ModelError(f"The model has no adapter at '{name}', where a residual belongs.")
    shapes = (pair.a.shape[1], pair.b.shape[0])
    own = (layer.in_features, layer.out_features)
    if shapes != own or pair.a.shape[0] != pair.b.shape[1]:
        raise ModelError(
            f"The residual at '{name}' is of {pair.b.shape} and {pair.a.shape} ({LORA_B}, "
            f"{LORA_A}), which does not fit a layer of {own[0]} inputs and {own[1]} outputs."
        )
    return layer


def _add(
    layer: nn.Module,
    inputs: tuple[Tensor, ...],
    output: Tensor,
    *,
    a: Tensor,
    b: Tensor,
    scale: float,
) -> Tensor:
    term = F.linear(F.linear(inputs[0].to(a.dtype), a), b) * scale
    return output + term.to(output.dtype)
