"""What of a round's result travels, and what comes of the tensors that a client is sent."""

from dataclasses import dataclass

from flwr.app import ArrayRecord
from numpy.random import Generator

from client_app.private import OwnState, PrivateState
from fedvlm_flwr.adapters import trimmed
from fedvlm_flwr.arrays import Arrays, float32, section
from fedvlm_flwr.messages import ScoresRequest, TrainRequest
from fedvlm_flwr.messages.wire import FLOAT32, rounded, unpack

SHARED, EXTRA = "shared/", "extra/"  # in a published state


@dataclass(frozen=True)
class Outgoing:
    """A round's result on its way.

    Attributes:
        arrays: the shared tensors, or their changes as they are read after the way.
        as_read: the shared tensors as they are read after it.
        extra: what the algorithm's hook sends, as it is read after it.
        memory: what stays with the client, the hook's apart.
    """

    arrays: Arrays
    as_read: Arrays
    extra: Arrays
    memory: OwnState

    @classmethod
    def of(
        cls,
        sent: Arrays,
        after: Arrays,
        extra: Arrays,
        memory: OwnState,
        dtype: str,
        draw: Generator,
    ) -> "Outgoing":
        """The trained tensors that are shared, whole; or in a short number format their changes.

        What rounding leaves out of a change stays with the client, and is in its next one.

        Args:
            sent: the shared tensors that are trained, as they came.
            after: the trained tensors after the round.
            extra: what the algorithm's hook sends.
            memory: what stayed with the client after its last round.
            draw: of the rounding.
        """
        shapes = {name: values.shape for name, values in sent.items()}
        shared = trimmed({n: v for n, v in after.items() if n in shapes}, shapes)
        own = {name: values for name, values in after.items() if name not in shared}
        if dtype == FLOAT32:
            return cls(shared, shared, extra, OwnState(own))
        exact = {name: values - sent[name] for name, values in shared.items()}
        for name, left in memory.rounding.items():
            if name in exact and left.shape == exact[name].shape:  # its rank may be another
                exact[name] = exact[name] + left
        changes = rounded(exact, dtype, draw)
        as_read = {name: float32(sent[name] + values) for name, values in changes.items()}
        rounding = {name: exact[name] - values for name, values in changes.items()}
        stays = OwnState(own, rounding=memory.rounding | rounding)
        return cls(changes, as_read, rounded(extra, dtype, draw), stays)


def shared_of(
    request: TrainRequest | ScoresRequest, private: PrivateState
) -> tuple[Arrays, Arrays]:
    """The shared tensors of a request, and the algorithm's own beside them.

    Raises:
        StateError: they are changes from what this client was never sent, or lost.
    """
    trains = isinstance(request, TrainRequest)
    arrays = unpack(request.arrays)
    extra = unpacked(request.extra) if isinstance(request, TrainRequest) else {}
    if not request.published:
        return arrays, extra
    named = {SHARED + name: values for name, values in arrays.items()}
    named |= {EXTRA + name: values for name, values in extra.items()}
    state = private.published(request, named, saves=trains)
    return section(state, SHARED), section(state, EXTRA)


def unpacked(record: ArrayRecord | None) -> Arrays:
    """The arrays of a record; none where there is no record."""
    return {} if record is None else unpack(record)
