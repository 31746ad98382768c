"""Gradient checkpointing: less memory for more time (Chen et al. 2016, arXiv 1604.06174)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def checkpointed(network: nn.Module, on: bool, keep_random_state: bool = True) -> Iterator[None]:
    """Have each layer of a transformers network keep its input only, and compute the rest anew.

    transformers' own switch also has the embeddings require a gradient, for good; that is of use
    to reentrant checkpointing only, and costs a backward pass through what nobody trains.

    Args:
        on: False leaves the network as it is.
        keep_random_state: draw the same dropout again; False where nothing real is computed.
    """
    modules = network.modules() if on else ()
    layers: list[Any] = [m for m in modules if isinstance(m, GradientCheckpointingLayer)]
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=keep_random_state)
    for layer in layers:
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = again
    try:
        yield
    finally:
        for layer in layers:
            layer.gradient_checkpointing = False
