"""Scoring the model that a client has: what it is asked, and what it sends back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from flwr.app import MetricRecord, RecordDict

from fedvlm_flwr.messages.failure import refuse_failure
from fedvlm_flwr.messages.fields import RejectedMessage, declared, only, record_of
from fedvlm_flwr.messages.names import SCORES
from fedvlm_flwr.messages.request import ClientRequest
from fedvlm_flwr.messages.train import MOST_EXAMPLES

Scores = dict[str, dict[str, float]]  # metrics by task

SECONDS = "seconds"
# Before the names of numbers that are no scores. They stand in the scores' record: a SuperLink pays
# for every record of a message.
COUNT, SQUARE = "count:", "square:"
NAME = re.compile(r"[a-z0-9_]{1,64}/[^\s/\x00-\x1f][^\x00-\x1f]{0,63}")  # task/metric
MOST_METRICS = 10_000
LARGEST = 1e15


@dataclass(frozen=True, kw_only=True)
class ScoresRequest(ClientRequest):
    """Score the client's own model, of which some tensors are private.

    Attributes:
        full: on the whole test set rather than on a sample.
    """

    full: bool = declared("0 or 1", 0, 1)


@dataclass(frozen=True)
class ScoresReply:
    """A client's scores: metrics by task, and the seconds that they took.

    Attributes:
        counts: examples by task, of a real site, whose scores are of records of its own.
        squares: for metrics that are means over these examples, the mean of their squares, from
            which an interval over several sites follows.
    """

    scores: Scores
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)
    squares: Scores = field(default_factory=dict)

    def pack(self) -> RecordDict:
        """As a message's content, in one record: `vqa/accuracy`, `count:vqa`."""
        record = self.record()
        record.update({f"{COUNT}{task}": count for task, count in self.counts.items()})
        record.update({f"{SQUARE}{name}": value for name, value in _flat(self.squares).items()})
        return RecordDict({SCORES: record})

    def record(self) -> MetricRecord:
        """The record of the scores alone."""
        return MetricRecord({**_flat(self.scores), SECONDS: self.seconds})

    @classmethod
    def unpack(cls, content: RecordDict) -> Self:
        """The scores in a message's content.

        Raises:
            RejectedMessage: the client failed; or a name or number is senseless.
        """
        refuse_failure(content)
        record = record_of(content, SCORES, MetricRecord)
        only(content, SCORES)
        numbers = _numbers(record)
        seconds = numbers.pop(SECONDS, 0.0)
        counts, squares = (_without_prefix(numbers, prefix) for prefix in (COUNT, SQUARE))
        scores = _by_task(numbers)
        for task, count in counts.items():
            if task not in scores or not 1 <= count <= MOST_EXAMPLES or count != int(count):
                raise RejectedMessage(f"it counts {count:g} examples of {task[:40]!r}")
        whole = {task: int(count) for task, count in counts.items()}
        return cls(scores, seconds, whole, _by_task(squares))


def _flat(scores: Scores) -> dict[str, float]:
    return {f"{task}/{key}": v for task, metrics in scores.items() for key, v in metrics.items()}


def _numbers(record: MetricRecord) -> dict[str, float]:
    if len(record) > MOST_METRICS:
        raise RejectedMessage(f"it reports {len(record)} scores, more than {MOST_METRICS}")
    return {key: _number(key, value) for key, value in record.items()}


def _without_prefix(numbers: dict[str, float], prefix: str) -> dict[str, float]:
    """The numbers whose names have a prefix, without it and out of the others."""
    names = [name for name in numbers if name.startswith(prefix)]
    return {name.removeprefix(prefix): numbers.pop(name) for name in names}


def _by_task(numbers: Mapping[str, float]) -> Scores:
    scores: Scores = {}
    for name, number in numbers.items():
        if not NAME.fullmatch(name):
            raise RejectedMessage(f"it reports a score named {name[:40]!r}, not task/metric")
        task, _, key = name.partition("/")
        scores.setdefault(task, {})[key] = number
    return scores


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or not abs(value) <= LARGEST:  # false for NaN too
        raise RejectedMessage(f"it reports {name[:40]!r} as no finite number")
    return float(value)
