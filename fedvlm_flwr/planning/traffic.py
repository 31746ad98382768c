"""What an algorithm sends and is sent in a round, told before anything runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fedvlm_flwr.arrays import Arrays

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ClientTraffic:
    """The messages between the server and the clients of one rank in a usual round.

    Attributes:
        rank: of their adapters; None: all have the server's.
        clients: how many of a round have it.
        down, up: record by record, the arrays that each of them is sent and sends back.
        deposits: what it is sent in each round to keep; in float32, whatever the wire dtype.
        whole: what it is sent first, in float32, before changes are enough; nothing where arrays
            travel whole in every round.
    """

    rank: int | None
    clients: int
    down: tuple[Shapes, ...]
    up: tuple[Shapes, ...]
    deposits: Shapes
    whole: tuple[Shapes, ...] = ()


@dataclass(frozen=True)
class Traffic:
    """A round's messages, as an algorithm makes them, by name and shape.

    Attributes:
        shared: the trained tensors that the server has.
        extra: what the algorithm sends beside them.
        once: what a client's first message holds beyond the others, to be deposits; in float32.
        messages: by rank.
    """

    shared: Shapes
    extra: Shapes
    once: Shapes
    messages: tuple[ClientTraffic, ...]


def traffic(trained: Shapes, usual_round: Callable[[Arrays], Traffic]) -> Traffic:
    """What travels in a round of a stage.

    Args:
        trained: the tensors that the stage trains.
        usual_round: the algorithm's messages about such tensors.
    """
    return usual_round(zeros(trained))


def zeros(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Zeros that take no room, whatever their shape."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def shapes_of(arrays: Arrays) -> Shapes:
    """The shapes of arrays, by name."""
    return {name: values.shape for name, values in arrays.items()}
