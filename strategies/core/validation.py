"""Whether a client's reply may enter the round."""

from dataclasses import dataclass, field

import numpy as np
from flwr.app import Message

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages import RejectedMessage, ScoresReply, TrainReply
from fedvlm_flwr.messages.failure import one_line


@dataclass(frozen=True)
class Expected:
    """What a good reply must look like.

    Attributes:
        shared: the shared tensors as they were sent.
        extra: names and shapes of what the algorithm's client hook sends beside them.
        max_norm: how far (L2 over all tensors) the result may lie from `shared`; None: anywhere.
    """

    shared: Arrays
    extra: Arrays = field(default_factory=dict)
    max_norm: float | None = None


def read_reply(message: Message, expected: Expected) -> TrainReply:
    """The content of a reply, validated; its arrays in the order of the expected ones.

    Raises:
        RejectedMessage: the client failed, or its arrays or metrics cannot be used.
    """
    require_answer(message)
    reply = TrainReply.unpack(message.content)
    for arrays, template in ((reply.arrays, expected.shared), (reply.extra, expected.extra)):
        require_finite(arrays)
        check_names_and_shapes(arrays, template)
    _check_norm(reply.arrays, expected)
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


def _check_norm(arrays: Arrays, expected: Expected) -> None:
    if expected.max_norm is None:
        return
    norm = update_norm(arrays, expected.shared)
    if not norm <= expected.max_norm:
        raise RejectedMessage(
            f"its update has norm {norm:.4g}, more than max_update_norm={expected.max_norm:g}"
        )


def update_norm(arrays: Arrays, before: Arrays) -> float:
    """The L2 norm of the change from `before` to `arrays`, over all tensors, in float64."""
    parts = [np.subtract(arrays[name], old, dtype=np.float64) for name, old in before.items()]
    return float(np.sqrt(sum(float(np.vdot(part, part)) for part in parts)))
