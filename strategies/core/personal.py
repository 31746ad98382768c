"""Scores of clients that each have a model of their own."""

from collections.abc import Mapping, Sequence
from typing import cast

from flwr.app import ConfigRecord, Message, MetricRecord

from strategies.core.replies import BadReply, flower_reason

Scores = dict[str, dict[str, float]]


def pack_scores(scores: Mapping[str, Mapping[str, float]], seconds: float) -> MetricRecord:
    """Metrics by task, flat: `vqa/accuracy`."""
    flat = {
        f"{task}/{key}": value for task, values in scores.items() for key, value in values.items()
    }
    return MetricRecord({**flat, "seconds": seconds})


def read_scores(message: Message) -> tuple[Scores, float]:
    """A client's scores by task, and the seconds they took it.

    Raises:
        BadReply: the client failed, or its reply holds no scores.
    """
    if message.has_error():
        raise BadReply(flower_reason(message))
    if "failure" in message.content:
        failure = cast(ConfigRecord, message.content["failure"])
        raise BadReply(str(failure.get("reason", "no reason")))
    record = message.content.get("scores")
    if not isinstance(record, MetricRecord):
        raise BadReply("its reply holds no scores")
    scores: Scores = {}
    for name, value in record.items():
        task, slash, key = name.partition("/")
        if slash and isinstance(value, int | float):
            scores.setdefault(task, {})[key] = float(value)
    return scores, float(cast(float, record.get("seconds", 0.0)))


def mean_scores(found: Sequence[Scores]) -> Scores:
    """The mean over clients of every metric that all of them report."""
    result: Scores = {}
    for task in found[0]:
        for key in found[0][task]:
            values = [scores[task][key] for scores in found if key in scores.get(task, {})]
            if len(values) == len(found):
                result.setdefault(task, {})[key] = sum(values) / len(values)
    return result
