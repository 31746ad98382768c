"""Networks with random weights, made and quantized where they lie: no file is read or written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models.weights.loading import quantization_of
from fedvlm_flwr.models.weights.quantized import trainable_on_cpu


def quantize_in_place(network: nn.Module, params: Loading, skip: Sequence[str]) -> None:
    """Hold a network's linear layers as `model.quantize` says, as `from_pretrained` would have.

    Args:
        skip: parts of the names of modules that stay as they are.

    Raises:
        ConfigError: bitsandbytes is not installed, or 8 bits are asked for.
    """
    if params.quantize is None:
        return
    if params.quantize != "4bit":
        raise ConfigError(
            f"model.quantize={params.quantize} is for weights that are read from files; a network "
            "with random weights takes 4bit or null."
        )
    config = quantization_of(params, list(skip))["quantization_config"]
    from bitsandbytes import nn as short_nn

    kinds: Any = short_nn
    for path, layer in list(network.named_modules()):
        if type(layer) is not nn.Linear or any(part in path.split(".") for part in skip):
            continue
        weight, bias = layer.weight.data, layer.bias
        short = kinds.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias is not None,
            compute_dtype=config.bnb_4bit_compute_dtype,
            quant_type=config.bnb_4bit_quant_type,
            device="meta",
        )
        packed = kinds.Params4bit(
            weight, requires_grad=False, quant_type=config.bnb_4bit_quant_type
        )
        short.weight = packed.to(weight.device)
        short.bias = bias
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, short)
    trainable_on_cpu(network)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Tensors are made on `device`, random numbers drawn from `seed` and nobody else's."""
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards), torch.device(device):
        torch.manual_seed(seed)
        yield
