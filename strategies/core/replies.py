"""Read one client's reply and judge whether it may enter the mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord

from fedvlm_flwr.wire import Arrays, payload_bytes, unpack


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


def read_reply(message: Message, expected: Arrays) -> Reply:
    """The content of a reply whose arrays have the names and shapes of `expected`.

    Raises:
        BadReply: the client failed, or its arrays or metrics cannot be used.
    """
    if message.has_error():
        raise BadReply(flower_reason(message))
    content = message.content
    if "failure" in content:
        raise BadReply(str(cast(ConfigRecord, content["failure"])["reason"]))
    if missing := {"arrays", "metrics", "source"} - set(content):
        raise BadReply(f"its reply lacks the record '{sorted(missing)[0]}'")
    metrics = {
        key: float(value)
        for key, value in cast(MetricRecord, content["metrics"]).items()
        if isinstance(value, int | float)
    }
    source = {key: str(value) for key, value in cast(ConfigRecord, content["source"]).items()}
    try:
        arrays = unpack(cast(ArrayRecord, content["arrays"]))
        extra = unpack(cast(ArrayRecord, content["extra"])) if "extra" in content else {}
    except ValueError as error:
        raise BadReply(f"its arrays cannot be read: {error}") from error
    _check_examples(metrics)
    check_arrays(arrays, expected)
    return Reply(arrays, extra, metrics, payload_bytes(content), source)


def flower_reason(message: Message) -> str:
    """What Flower says of a message that never became a reply (a dead process, a lost node)."""
    reason = (message.error.reason or "no reason given").strip()
    return f"error {message.error.code}: {reason.splitlines()[-1].strip()}"


def _check_examples(metrics: Mapping[str, float]) -> None:
    examples = metrics.get("num_examples", 0.0)
    if not (np.isfinite(examples) and examples > 0):
        raise BadReply(f"it reports num_examples={examples}, which must be greater than 0")


def check_arrays(arrays: Arrays, expected: Arrays) -> None:
    """Refuse a missing or extra name, another shape, and numbers that are not finite.

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
        if not np.isfinite(values).all():
            raise BadReply(f"'{name}' holds NaN or Inf")
