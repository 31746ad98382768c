"""Scoring the model that a client has: what it is asked, and what it sends back."""

import re
from dataclasses import dataclass
from typing import Self

from flwr.app import MetricRecord, RecordDict

from fedvlm_flwr.messages.failure import refuse_failure
from fedvlm_flwr.messages.fields import RejectedMessage, declared, only, record_of
from fedvlm_flwr.messages.names import SCORES
from fedvlm_flwr.messages.request import ClientRequest

Scores = dict[str, dict[str, float]]  # metrics by task

SECONDS = "seconds"
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
    """A client's scores: metrics by task, and the seconds that they took."""

    scores: Scores
    seconds: float

    def pack(self) -> RecordDict:
        """As a message's content, metrics flat: `vqa/accuracy`."""
        return RecordDict({SCORES: self.record()})

    def record(self) -> MetricRecord:
        """The record alone."""
        flat = {
            f"{task}/{key}": value
            for task, metrics in self.scores.items()
            for key, value in metrics.items()
        }
        return MetricRecord({**flat, SECONDS: self.seconds})

    @classmethod
    def unpack(cls, content: RecordDict) -> Self:
        """The scores in a message's content.

        Raises:
            RejectedMessage: the client failed; or a name or number is senseless.
        """
        refuse_failure(content)
        record = record_of(content, SCORES, MetricRecord)
        only(content, SCORES)
        if len(record) > MOST_METRICS:
            raise RejectedMessage(f"it reports {len(record)} scores, more than {MOST_METRICS}")
        scores: Scores = {}
        seconds = 0.0
        for name, value in record.items():
            number = _number(name, value)
            if name == SECONDS:
                seconds = number
                continue
            if not NAME.fullmatch(name):
                raise RejectedMessage(f"it reports a score named {name[:40]!r}, not task/metric")
            task, _, key = name.partition("/")
            scores.setdefault(task, {})[key] = number
        return cls(scores, seconds)


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or not abs(value) <= LARGEST:  # false for NaN too
        raise RejectedMessage(f"it reports {name[:40]!r} as no finite number")
    return float(value)
