"""Stand-ins for fused kernels that keep what the real ones keep, and compute nothing.

Elsewhere than on a GPU, attention and dropout are made of several operations, which keep other
tensors for the backward pass than the fused kernels do that training on a GPU runs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv

COUNTED = "counted"  # the stand-in's name among transformers' attentions
UNFUSED = "eager"


class _Attention(torch.autograd.Function):
    """Keeps q, k, v, the output, one float32 a query (log-sum-exp) and the mask, as SDPA's do."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        rows, heads, length, _ = query.shape
        out = query.new_empty(rows, length, heads, value.shape[-1]).transpose(1, 2)
        sums = query.new_empty(rows, heads, length, dtype=torch.float32)
        # SDPA turns a boolean mask into numbers to be added, anew in each layer.
        added = [] if mask is None else [mask if mask.dtype != torch.bool else mask.to(query.dtype)]
        ctx.save_for_backward(query, key, value, out, sums, *added)
        return out

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, *_rest = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None


class _Dropout(torch.autograd.Function):
    """Keeps one byte a number: whether it was dropped."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(torch.empty_like(values, dtype=torch.bool))
        return torch.empty_like(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        _ = ctx.saved_tensors
        return torch.empty_like(gradients[0])


class _Quantized(torch.autograd.Function):
    """A product with a frozen 4-bit or 8-bit weight, as bitsandbytes has it.

    The weight in full precision comes and goes with each pass; the 8-bit form keeps its input.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, keeps_input: bool) -> Tensor:
        ctx.shape = weight.shape
        ctx.save_for_backward(*([values] if keeps_input else []))
        values.new_empty(weight.shape)
        return values.new_empty(*values.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        _ = ctx.saved_tensors
        (gradient,) = gradients
        gradient.new_empty(ctx.shape)
        return gradient.new_empty(*gradient.shape[:-1], ctx.shape[1]), None, None


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **_: Any
) -> tuple[Tensor, None]:
    groups = getattr(module, "num_key_value_groups", 1)
    if groups > 1 and mask is not None:  # SDPA shares heads by itself only where there is no mask
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    place = query.device.type
    if place != "meta" and torch.is_autocast_enabled(place):  # SDPA is among what it casts
        dtype = torch.get_autocast_dtype(place)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        mask = mask if mask is None or mask.dtype == torch.bool else mask.to(dtype)
    out: Tensor = _Attention.apply(query, key, value, mask)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(COUNTED, _attend)


def _drop(layer: nn.Dropout, values: Tensor) -> Tensor:
    if not (layer.training and layer.p):
        return values
    dropped: Tensor = _Dropout.apply(values)  # type: ignore[no-untyped-call]
    return dropped


def _product(layer: nn.Linear, keeps_input: bool, values: Tensor) -> Tensor:
    out: Tensor = _Quantized.apply(values, layer.weight, keeps_input)  # type: ignore[no-untyped-call]
    return out if layer.bias is None else out + layer.bias


def frozen_linears(llm: nn.Module) -> list[nn.Linear]:
    """The linear layers of a network that are its own and no adapter's."""
    return [
        layer
        for name, layer in llm.named_modules()
        if isinstance(layer, nn.Linear) and "lora_" not in name
    ]


@contextmanager
def counted_kernels(llm: Any, quantize: str | None) -> Iterator[None]:
    """Have a transformers network run the stand-ins; attention only if it is a fused one.

    Args:
        quantize: `4bit` or `8bit`, as its linear layers shall be; None: as they are.
    """
    before = llm.config._attn_implementation
    replaced: dict[nn.Module, Callable[[Tensor], Tensor]] = {
        layer: partial(_drop, layer) for layer in llm.modules() if isinstance(layer, nn.Dropout)
    }
    for layer in frozen_linears(llm) if quantize else ():
        replaced[layer] = partial(_product, layer, quantize == "8bit")
    if before != UNFUSED:
        llm.set_attn_implementation(COUNTED)
    for module, forward in replaced.items():
        module.forward = forward
    try:
        yield
    finally:
        llm.config._attn_implementation = before
        for module in replaced:
            del module.forward
