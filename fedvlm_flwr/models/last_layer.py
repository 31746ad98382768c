"""The last layer of a language model, computed only where it is read.

Behind the last layer's keys and values every place is on its own, and few are read: a loss reads
those before answer tokens, an answer's first token the last one. So queries, the attention's output
and the MLP of all others are left out, and what dropout would draw for them. What is read comes out
as without it, gradients too.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# What families call what attention does to each place on its own, but keys and values.
PROJECTIONS = ("q_proj", "o_proj", "dense")


@contextmanager
def read_at(llm: Any, places: Tensor) -> Iterator[None]:
    """Have a decoder's last layer leave out what is not read.

    Its hidden states at all other places mean nothing then. Of a layer that is made otherwise, or
    is computed again for its gradient, nothing is left out.

    Args:
        llm: a transformers decoder without head, called once meanwhile.
        places: which are read, [places], each once; places of a batch are counted row after row.
    """
    with ExitStack() as stack:
        for module in _by_place(llm):
            stack.enter_context(_computed_at(module, places))
        yield


def _by_place(llm: Any) -> list[nn.Module]:
    layers = getattr(llm, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        return []
    *others, last = layers
    if not is_usual(last) or is_computed_again(last):
        return []
    children = dict(last.named_children())
    if any(child in children.values() for layer in others for child in layer.children()):
        return []  # called more than once
    attention, mlp = children.get("self_attn"), children.get("mlp")
    projections = [getattr(attention, name, None) for name in PROJECTIONS]
    return [m for m in (*projections, mlp) if isinstance(m, nn.Module) and _is_linear(m)]


def is_computed_again(layer: nn.Module) -> bool:
    """Whether a layer's inside is made anew for its gradient, when nothing is left out of it."""
    return layer.training and getattr(layer, "gradient_checkpointing", False)


def is_usual(layer: nn.Module) -> bool:
    """Whether a layer is attention, an MLP and norms: nothing else that could mix its places."""
    return all(
        name in ("self_attn", "mlp") or "norm" in name or isinstance(child, nn.Dropout)
        for name, child in layer.named_children()
    )


def _is_linear(module: nn.Module) -> bool:
    """Whether all weights are those of linear layers, as they are not where experts are chosen."""
    holders = [m for m in module.modules() if any(p is not None for p in m._parameters.values())]
    return all(isinstance(m, nn.Linear) for m in holders)


@contextmanager
def _computed_at(module: nn.Module, places: Tensor) -> Iterator[None]:
    whole: list[torch.Size] = []

    def select(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *more = inputs
        whole[:] = [hidden.shape[:-1]]
        return hidden.flatten(0, -2).index_select(0, places).unsqueeze(0), *more

    def put_back(_: nn.Module, __: object, output: Tensor) -> Tensor:
        (shape,) = whole
        rows = output.new_zeros(shape.numel(), output.shape[-1])
        return rows.index_copy_(0, places, output.squeeze(0)).view(*shape, -1)

    hooks = [module.register_forward_pre_hook(select), module.register_forward_hook(put_back)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
