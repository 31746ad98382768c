"""Scores of clients that each have a model of their own."""

from collections.abc import Mapping, Sequence
from typing import cast

from flwr.app import ConfigRecord, Message, MetricRecord

from fedvlm_flwr.evaluation.statistics import LOCAL, over_clients
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
    """The mean over clients of every metric that all of them report.

    Of the metrics on the clients' own shares, which only those report that have examples of the
    task, it is mean, worst and spread: see `over_clients`. The mean of the clients' interval ends
    is an interval at least as wide as the mean's own, where resamples are about normal: a mean's
    deviation is at most the mean of the deviations.
    """
    result: Scores = {}
    for task in found[0]:
        for key in found[0][task]:
            values = [scores[task][key] for scores in found if key in scores.get(task, {})]
            if len(values) == len(found) and not key.startswith(LOCAL):
                result.setdefault(task, {})[key] = sum(values) / len(values)
    for task, metrics in over_clients(found).items():
        result.setdefault(task, {}).update(metrics)
    return result
