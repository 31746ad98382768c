"""Messages on their way to actors and back: what is large is put into Ray's memory once.

Between the processes of one run only, which trust each other: Ray pickles what it carries anyway.
"""

import pickle
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from flwr.app import Context, Message
from numpy.typing import NDArray

from fedvlm_flwr.engines.actors.environment import WITHIN_A_CALL

Parts = Sequence[NDArray[np.uint8]]
Parcel = tuple[bytes, Parts]
SMALL = WITHIN_A_CALL // 2  # bytes that travel with a call or its answer


class Store:
    """The large parts of messages that are sent together, each in Ray's memory once.

    A round's clients are mostly sent the same arrays. They stay there as long as the store does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[int, tuple[object, Any]] = {}  # by identity, of what is held

    def put(self, part: pickle.PickleBuffer) -> Any:
        """Ray's reference to a part."""
        import ray

        view = part.raw()
        with self._lock:
            if id(view.obj) not in self._places:
                reference = ray.put(np.frombuffer(view, np.uint8))
                self._places[id(view.obj)] = view.obj, reference
            return self._places[id(view.obj)][1]


def packed(task: tuple[Message, Context], store: Store) -> tuple[bytes, list[Any]]:
    """A message and its node's context, and references to their large parts."""
    data, parts = _apart(task)
    return data, [store.put(part) for part in parts]


def unpacked(data: bytes, parts: Parts) -> Any:
    """What was packed; its large parts stay in Ray's memory."""
    return pickle.loads(data, buffers=parts)  # noqa: S301  # of a process of this run


def packed_reply(reply: Message) -> Parcel:
    """A reply and its large parts, which Ray copies into its memory."""
    data, parts = _apart(reply)
    return data, [np.frombuffer(part.raw(), np.uint8) for part in parts]


def is_small(parcel: Parcel) -> bool:
    """Whether a parcel need not wait in Ray's memory until the server has a look at it."""
    data, parts = parcel
    return not parts and len(data) <= SMALL


def _apart(value: object) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """What is left of something without its large parts, and these."""
    parts: list[pickle.PickleBuffer] = []

    def stays(part: pickle.PickleBuffer) -> bool:
        is_large = part.raw().nbytes > SMALL
        if is_large:
            parts.append(part)
        return not is_large

    return pickle.dumps(value, protocol=5, buffer_callback=stays), parts
