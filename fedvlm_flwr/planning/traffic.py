"""What an algorithm sends and is sent in a round, told before anything runs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedvlm_flwr.arrays import Arrays

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class FirstRound:
    """The arrays of a first round's messages, as an algorithm makes them.

    Attributes:
        shared: the trained tensors that travel, down and up.
        down, up: what the algorithm sends and is sent beside them.
        clients: those that take part in the round.
    """

    shared: Arrays
    down: Arrays
    up: Arrays
    clients: int


@dataclass(frozen=True)
class Traffic:
    """The same by name and shape."""

    shared: Shapes
    down: Shapes
    up: Shapes
    clients: int


def traffic(trained: Shapes, first_round: Callable[[Arrays], FirstRound]) -> Traffic:
    """What travels in a round of a stage.

    Args:
        trained: the tensors that the stage trains.
        first_round: the algorithm's messages about such tensors.
    """
    # Zeros that take no room, whatever their shape.
    zeros: Arrays = {n: np.broadcast_to(np.float32(0), shape) for n, shape in trained.items()}
    messages = first_round(zeros)
    return Traffic(
        _shapes(messages.shared), _shapes(messages.down), _shapes(messages.up), messages.clients
    )


def _shapes(arrays: Arrays) -> Shapes:
    return {name: values.shape for name, values in arrays.items()}
