"""The last layer of a language model, computed only where it is read.

Behind the last layer's keys and values every place is on its own, and few are read: a loss reads
those before answer tokens, an answer's first token the last one. So queries, the attention's output
and the MLP of all others are left out. What is read comes out as without it, gradients too.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fedvlm_flwr.models.dropout import Dropout, draw_dropped

# What families call what attention does to each place on its own, but keys and values.
PROJECTIONS = ("q_proj", "o_proj", "dense")


@contextmanager
def read_at(llm: Any, places: Tensor) -> Iterator[None]:
    """Have a decoder's last layer leave out what is not read.

    Its hidden states at all other places mean nothing then. Of a layer that is made otherwise, or
    is computed again for its gradient, nothing is left out.

    Args:
        llm: a transformers decoder without head, called once meanwhile.
        places: which are read, [places]; places of a batch are counted row after row.
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
    if not _is_usual(last) or (last.training and getattr(last, "gradient_checkpointing", False)):
        return []
    children = dict(last.named_children())
    if any(child in children.values() for layer in others for child in layer.children()):
        return []  # called more than once
    attention, mlp = children.get("self_attn"), children.get("mlp")
    projections = [getattr(attention, name, None) for name in PROJECTIONS]
    return [m for m in (*projections, mlp) if isinstance(m, nn.Module) and _is_linear(m)]


def _is_usual(layer: nn.Module) -> bool:
    """Whether a layer is attention, an MLP and norms: nothing else that could mix its places."""
    return all(
        name in ("self_attn", "mlp") or "norm" in name or isinstance(child, nn.Dropout)
        for name, child in layer.named_children()
    )


def _is_linear(module: nn.Module) -> bool:
    """Whether all weights are those of linear layers, as they are not where experts are chosen."""
    holders = [m for m in module.modules() if next(m.parameters(recurse=False), None) is not None]
    return all(isinstance(m, nn.Linear) for m in holders)


@contextmanager
def _computed_at(module: nn.Module, places: Tensor) -> Iterator[None]:
    whole: list[torch.Size] = []
    dropouts: list[Any] = [m for m in module.modules() if isinstance(m, Dropout) and m.drops]

    def select(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *more = inputs
        whole[:] = [hidden.shape[:-1]]
        return hidden.flatten(0, -2).index_select(0, places).unsqueeze(0), *more

    def put_back(_: nn.Module, __: object, output: Tensor) -> Tensor:
        (shape,) = whole
        rows = output.new_zeros(shape.numel(), output.shape[-1])
        return rows.index_copy_(0, places, output.squeeze(0)).view(*shape, -1)

    hooks = [module.register_forward_pre_hook(select), module.register_forward_hook(put_back)]
    for dropout in dropouts:
        dropout.draw = partial(_draw, dropout.p, whole, places)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for dropout in dropouts:
            del dropout.draw


def _draw(p: float, whole: list[torch.Size], places: Tensor, rows: torch.Size) -> Tensor:
    """Which values of the rows that are read are dropped, with what is drawn for all rows.

    A CPU draws one number after the other, so that what comes later depends on how many there were;
    a round is to be that of a loop that leaves nothing out.
    """
    width = rows[-1]
    drops = draw_dropped(whole[0].numel() * width, p)
    first = torch.searchsorted(drops, places * width)
    counts = torch.searchsorted(drops, (places + 1) * width) - first
    row = torch.repeat_interleave(counts)
    before = counts.cumsum(0) - counts  # of rows that come earlier
    index = torch.arange(len(row)) + (first - before)[row]
    return drops[index] + (width * (torch.arange(len(places)) - places))[row]
