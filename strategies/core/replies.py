"""Read one client's reply and judge whether it may enter the mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedvlm_flwr.wire import Arrays, payload_bytes, unpack

R = TypeVar("R", ArrayRecord, ConfigRecord, MetricRecord)

MOST_EXAMPLES = 1e12  # beyond what any site holds; keeps one lie from overflowing the sums


class BadReply(Exception):  # noqa: N818  # a verdict, caught where replies are counted
    """A reply that is left out; the text is the reason."""


@dataclass(frozen=True)
class Reply:
    """A client's good reply.

    Attributes:
        arrays: the trained tensors after local training.
        extra: what the algorithm's client hook returned beside them.
        metrics: numbers of the local training (`num_examples`, `loss`, `seconds`, ...).
        num_bytes: weight of the reply's records on the wire.
        source: where it was computed (`host`, `pid`).
    """

    arrays: Arrays
    extra: Arrays
    metrics: dict[str, float]
    num_bytes: int
    source: dict[str, str]

    @property
    def num_examples(self) -> float:
        """The reply's weight in the mean."""
        return self.metrics["num_examples"]


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


def read_reply(message: Message, expected: Expected) -> Reply:
    """The content of a reply, judged.

    Raises:
        BadReply: the client failed, or its arrays or metrics cannot be used.
    """
    if message.has_error():
        raise BadReply(flower_reason(message))
    content = message.content
    if "failure" in content:
        raise BadReply(str(_record(content, "failure", ConfigRecord).get("reason", "no reason")))
    metrics = {
        key: float(value)
        for key, value in _record(content, "metrics", MetricRecord).items()
        if isinstance(value, int | float)
    }
    source = {key: str(v) for key, v in _record(content, "source", ConfigRecord).items()}
    _check_metrics(metrics)
    arrays = _arrays(content, "arrays", expected.shared)
    extra = _arrays(content, "extra", expected.extra) if "extra" in content else {}
    check_names_and_shapes(extra, expected.extra)
    _check_norm(arrays, expected)
    return Reply(arrays, extra, metrics, _weigh(content), source)


def _record(content: RecordDict, name: str, kind: type[R]) -> R:
    if name not in content:
        raise BadReply(f"its reply lacks the record '{name}'")
    record = content[name]
    if not isinstance(record, kind):
        raise BadReply(f"its record '{name}' is a {type(record).__name__}, not a {kind.__name__}")
    return record


def _arrays(content: RecordDict, name: str, expected: Arrays) -> Arrays:
    try:
        arrays = unpack(_record(content, name, ArrayRecord))
    except ValueError as error:
        raise BadReply(f"its arrays cannot be read: {error}") from error
    require_finite(arrays)
    check_names_and_shapes(arrays, expected)
    return {key: arrays[key] for key in expected}  # in one order: Flower's classes go by position


def _weigh(content: RecordDict) -> int:
    try:
        return payload_bytes(content)
    except (ValueError, IndexError) as error:  # Flower cannot weigh an empty string or list
        raise BadReply("a record of its reply holds an empty value") from error


def require_finite(arrays: Arrays) -> None:
    """Refuse NaN and infinity.

    Raises:
        BadReply: names the first array that holds one.
    """
    for key, values in arrays.items():
        if not np.isfinite(values).all():
            raise BadReply(f"'{key}' holds NaN or Inf")


def _check_norm(arrays: Arrays, expected: Expected) -> None:
    if expected.max_norm is None:
        return
    norm = update_norm(arrays, expected.shared)
    if not norm <= expected.max_norm:
        raise BadReply(
            f"its update has norm {norm:.4g}, more than max_update_norm={expected.max_norm:g}"
        )


def update_norm(arrays: Arrays, before: Arrays) -> float:
    """The L2 norm of the change from `before` to `arrays`, over all tensors, in float64."""
    parts = [np.subtract(arrays[name], old, dtype=np.float64) for name, old in before.items()]
    return float(np.sqrt(sum(float(np.vdot(part, part)) for part in parts)))


def flower_reason(message: Message) -> str:
    """What Flower says of a message that never became a reply (a dead process, a lost node)."""
    lines = (message.error.reason or "").strip().splitlines() or ["no reason given"]
    return f"error {message.error.code}: {lines[-1].strip()}"


def _check_metrics(metrics: Mapping[str, float]) -> None:
    examples = metrics.get("num_examples", 0.0)
    if not 0 < examples <= MOST_EXAMPLES:  # false for NaN too
        raise BadReply(
            f"it reports num_examples={examples:g}, which must be greater than 0 and at most "
            f"{MOST_EXAMPLES:g}"
        )
    if not np.isfinite(metrics.get("loss", 0.0)):
        raise BadReply(f"it reports loss={metrics['loss']}")


def check_names_and_shapes(arrays: Arrays, expected: Arrays) -> None:
    """Refuse a missing or extra name, and another shape.

    Raises:
        BadReply: names the array and what is wrong with it.
    """
    if missing := sorted(set(expected) - set(arrays)):
        raise BadReply(f"its arrays lack '{missing[0]}'")
    if odd := sorted(set(arrays) - set(expected)):
        raise BadReply(f"its arrays hold '{odd[0]}', which was not asked for")
    for name, values in arrays.items():
        if values.shape != expected[name].shape:
            raise BadReply(f"'{name}' has shape {values.shape} instead of {expected[name].shape}")
