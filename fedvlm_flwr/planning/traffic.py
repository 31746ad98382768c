"""What an algorithm sends and is sent in a round, usual before anything runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fedvlm_flwr.arrays import Arrays

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ClientMessages:
    """The arrays of the messages between the server and the clients of one rank in a usual round.

    Attributes:
        rank: of their adapters; None: all have the server's.
        clients: how many of a round have it.
        down, up: record by record, what each of them is sent and sends back.
    """

    rank: int | None
    clients: int
    down: tuple[Arrays, ...]
    up: tuple[Arrays, ...]


@dataclass(frozen=True)
class UsualRound:
    """A round's messages, as an algorithm makes them.

    Attributes:
        shared: the trained tensors that the server has.
        extra: what the algorithm sends beside them.
        once: what a client's first message holds beyond the others.
        messages: by rank.
    """

    shared: Arrays
    extra: Arrays
    once: Arrays
    messages: tuple[ClientMessages, ...]


@dataclass(frozen=True)
class ClientTraffic:
    """`ClientMessages` by name and shape."""

    rank: int | None
    clients: int
    down: tuple[Shapes, ...]
    up: tuple[Shapes, ...]


@dataclass(frozen=True)
class Traffic:
    """`UsualRound` by name and shape."""

    shared: Shapes
    extra: Shapes
    once: Shapes
    messages: tuple[ClientTraffic, ...]


def traffic(trained: Shapes, usual_round: Callable[[Arrays], UsualRound]) -> Traffic:
    """What travels in a round of a stage.

    Args:
        trained: the tensors that the stage trains.
        usual_round: the algorithm's messages about such tensors.
    """
    usual = usual_round(zeros(trained))
    messages = tuple(
        ClientTraffic(
            each.rank, each.clients, tuple(map(_shapes, each.down)), tuple(map(_shapes, each.up))
        )
        for each in usual.messages
    )
    return Traffic(_shapes(usual.shared), _shapes(usual.extra), _shapes(usual.once), messages)


def zeros(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Zeros that take no room, whatever their shape."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def _shapes(arrays: Arrays) -> Shapes:
    return {name: values.shape for name, values in arrays.items()}
