"""Whether a client's reply may enter the round."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from fedvlm_flwr.arrays import Arrays, float32
from fedvlm_flwr.messages import RejectedMessage, ScoresReply, TrainReply
from fedvlm_flwr.messages.failure import one_line

LARGEST = 1e15  # of a number; its square, and a sum of a million of these, are float32 still


@dataclass(frozen=True)
class Expected:
    """What a good reply must look like.

    Attributes:
        shared: the shared tensors as they were sent.
        extra: names and shapes of what the algorithm's client hook sends beside them.
        max_norm: how far (L2 over all tensors) the result may lie from `shared`, and `extra` from
            zero; None: anywhere.
        changes: whether the reply's arrays are changes from the shared tensors.
    """

    shared: Arrays
    extra: Arrays = field(default_factory=dict)
    max_norm: float | None = None
    changes: bool = False


def read_reply(message: Message, expected: Expected) -> TrainReply:
    """The content of a reply, validated; its arrays in the order of the expected ones.

    Raises:
        RejectedMessage: the client failed, or its arrays or metrics cannot be used.
    """
    require_answer(message)
    reply = TrainReply.unpack(message.content)
    for arrays, template in ((reply.arrays, expected.shared), (reply.extra, expected.extra)):
        require_bounded(arrays)
        check_names_and_shapes(arrays, template)
    if expected.changes:
        own = {name: float32(old + reply.arrays[name]) for name, old in expected.shared.items()}
        reply = replace(reply, arrays=own)
    if expected.max_norm is not None:
        _check_norm("update", update_norm(reply.arrays, expected.shared), expected.max_norm)
        _check_norm("extra", norm(reply.extra), expected.max_norm)
    arrays = {name: reply.arrays[name] for name in expected.shared}
    extra = {name: reply.extra[name] for name in expected.extra}
    return TrainReply(arrays, reply.metrics, extra, reply.num_bytes)


def read_scores(message: Message) -> ScoresReply:
    """A client's scores.

    Raises:
        RejectedMessage: the client failed, or its reply holds no scores.
    """
    require_answer(message)
    return ScoresReply.unpack(message.content)


def require_answer(message: Message) -> None:
    """Refuse a message that never became a reply.

    Raises:
        RejectedMessage: Flower's error (a dead process, a lost node), in one line.
    """
    if message.has_error():
        raise RejectedMessage(flower_reason(message))


def flower_reason(message: Message) -> str:
    """What Flower says of a message that never became a reply: the last line of its error."""
    lines = (message.error.reason or "").strip().splitlines() or ["no reason given"]
    return f"error {message.error.code}: {one_line(lines[-1])}"


def require_finite(arrays: Arrays) -> None:
    """Refuse NaN and infinity.

    Raises:
        RejectedMessage: names the first array that holds one.
    """
    for key, values in arrays.items():
        if not np.isfinite(values).all():
            raise RejectedMessage(f"'{one_line(key)}' holds NaN or Inf")


def check_names_and_shapes(arrays: Arrays, expected: Arrays) -> None:
    """Refuse a missing or extra name, and another shape.

    Raises:
        RejectedMessage: names the array and what is wrong with it.
    """
    if missing := sorted(set(expected) - set(arrays)):
        raise RejectedMessage(f"its arrays lack '{missing[0]}'")
    if odd := sorted(set(arrays) - set(expected)):
        raise RejectedMessage(f"its arrays hold '{one_line(odd[0])}', which was not asked for")
    for name, values in arrays.items():
        if values.shape != expected[name].shape:
            raise RejectedMessage(
                f"'{name}' has shape {values.shape} instead of {expected[name].shape}"
            )


def require_bounded(arrays: Arrays) -> None:
    """Refuse NaN and infinity, and numbers with which a server's rule would overflow.

    Raises:
        RejectedMessage: names the first array that holds one.
    """
    for key, values in arrays.items():
        if not values.size:
            continue
        most = float(max(values.max(), -values.min()))  # no copy of the array; NaN where one is
        if not most <= LARGEST:
            require_finite({key: values})
            raise RejectedMessage(f"'{one_line(key)}' holds {most:.3g}, more than {LARGEST:g}")


def _check_norm(what: str, length: float, limit: float) -> None:
    if not length <= limit:
        raise RejectedMessage(
            f"its {what} has norm {length:.4g}, more than max_update_norm={limit:g}"
        )


def update_norm(arrays: Arrays, before: Arrays) -> float:
    """The L2 norm of the change from `before` to `arrays`, over all tensors, in float64."""
    return _norm(np.subtract(arrays[n], old, dtype=np.float64) for n, old in before.items())


def norm(arrays: Arrays) -> float:
    """The L2 norm over all tensors, in float64."""
    return _norm(values.astype(np.float64) for values in arrays.values())


def _norm(parts: Iterable[NDArray[np.float64]]) -> float:
    return float(np.sqrt(sum(float(np.vdot(part, part)) for part in parts)))
