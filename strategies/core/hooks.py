"""What an algorithm may do on the client."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fedvlm_flwr.wire import Arrays

Parameters = Mapping[str, nn.Parameter]


def gradient(parameter: nn.Parameter) -> Tensor:
    """A parameter's gradient, to be changed in place; zeros where the loss does not reach it."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


@dataclass(frozen=True)
class Opening:
    """What a client's round starts from.

    Attributes:
        shared: the shared tensors as the server sent them.
        sent: what the server side of the algorithm sent beside them (`broadcast`).
        kept: what this hook kept after this client's newest accepted round; empty before that.
    """

    shared: Arrays
    sent: Arrays = field(default_factory=dict)
    kept: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Closing:
    """What a client's round leaves behind.

    Attributes:
        extra: arrays that travel to the server beside the trained ones, in a record of their own.
        kept: arrays that stay on the client's disk until its next round.
    """

    extra: Arrays = field(default_factory=dict)
    kept: Arrays = field(default_factory=dict)


class ClientHook:
    """Three places in local training where an algorithm may act; FedAvg acts in none."""

    def __init__(self, params: object) -> None:
        self.params = params

    def on_start(self, parameters: Parameters, opening: Opening) -> None:
        """Before the first step, when the parameters hold the round's tensors."""

    def on_gradients(self, parameters: Parameters) -> None:
        """After the backward pass, before clipping and the optimiser step; may change gradients."""

    def on_end(self, parameters: Parameters, steps: int) -> Closing:
        """After the last of `steps` optimiser steps."""
        return Closing()
