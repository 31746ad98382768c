"""What an algorithm's client side takes on the device: told before anything runs."""

from collections.abc import Callable, Collection, Mapping

from torch import nn

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.planning.live_bytes import LiveBytes
from fedvlm_flwr.planning.traffic import zeros

Parameters = Mapping[str, nn.Parameter]
StartHook = Callable[[Parameters, Arrays], object]
"""Starts the client side of an algorithm on trained parameters and the round's shared arrays."""


def hook_bytes(parameters: Parameters, shared: Collection[str], start: StartHook) -> int:
    """Bytes of the tensors that the client hook makes at the start of a round and keeps.

    Args:
        parameters: what is trained; may lie on the meta device.
        shared: names of those that travel.
        start: gives the started hook.
    """
    arrays = zeros({name: tuple(parameters[name].shape) for name in shared})
    with LiveBytes(parameters.values()) as live:
        hook = start(parameters, arrays)
        size: int = live.now
        del hook
    return size
