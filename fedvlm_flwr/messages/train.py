"""Training a client's round: what it is asked, and what it sends back."""

from dataclasses import dataclass, field
from typing import Self

from flwr.app import ArrayRecord, MetricRecord, RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages.failure import refuse_failure
from fedvlm_flwr.messages.fields import (
    RejectedMessage,
    declared,
    from_values,
    only,
    optional_record,
    record_of,
    to_values,
)
from fedvlm_flwr.messages.names import ARRAYS, EXTRA, METRICS
from fedvlm_flwr.messages.request import MOST, ClientRequest
from fedvlm_flwr.messages.wire import pack, payload_bytes, unpack

MOST_EXAMPLES = 1e12  # beyond what any site holds; keeps one lie from overflowing the sums
MOST_STEPS = 1e9
MOST_BYTES = 2**50
MOST_SECONDS = 1e9
LARGEST = 1e30  # of a loss


@dataclass(frozen=True, kw_only=True)
class TrainRequest(ClientRequest):
    """Train the shared tensors on the client's own examples.

    Attributes:
        data: the clients whose examples are used: its own, or several for the pooled baseline.
        extra: what the algorithm's server side sends beside the shared tensors, packed.
    """

    data: tuple[int, ...] = declared("numbers of clients", 0, MOST)
    extra: ArrayRecord | None = None

    @classmethod
    def _more(cls, content: RecordDict) -> dict[str, ArrayRecord | None]:
        return {"extra": optional_record(content, EXTRA)}


@dataclass(frozen=True, kw_only=True)
class TrainMetrics:
    """Numbers of one client's local training.

    Attributes:
        num_examples: the client's weight in the mean.
        loss: mean over the round's batches; None: it is not told.
        steps: optimizer steps that were taken.
        examples_seen: examples in those steps, repetitions counted.
        seconds: from the message's arrival to the reply.
        saved_state: whether private state was saved, that the next round starts from.
        truncated_questions: distinct questions that were cut for their length so far.
        images_encoded: images that went through the frozen vision part so far.
        peak_memory_bytes: resident memory of the client's process at its peak.
        model_loads: base models that the process has loaded.
    """

    num_examples: float = declared("examples", 1e-9, MOST_EXAMPLES)
    loss: float | None = declared("nats per token", -LARGEST, LARGEST, None)
    steps: int = declared("steps", 0, MOST_STEPS, 0, needed=True)
    examples_seen: int = declared("examples", 0, MOST_EXAMPLES, 0)
    seconds: float = declared("seconds", 0, MOST_SECONDS, 0.0)
    saved_state: bool = declared("0 or 1", 0, 1, False, needed=True)
    truncated_questions: int = declared("questions", 0, MOST_EXAMPLES, 0)
    images_encoded: int = declared("images", 0, MOST_EXAMPLES, 0)
    peak_memory_bytes: int = declared("bytes", 0, MOST_BYTES, 0)
    model_loads: int = declared("loads", 0, MOST_EXAMPLES, 0)


@dataclass(frozen=True)
class TrainReply:
    """What a client has trained.

    Attributes:
        arrays: the shared tensors after local training.
        metrics: numbers of the local training.
        extra: what the algorithm's client hook sends beside the tensors.
        num_bytes: weight of the reply's records on the wire; 0 where it is not sent yet.
    """

    arrays: Arrays
    metrics: TrainMetrics
    extra: Arrays = field(default_factory=dict)
    num_bytes: int = 0

    def pack(self, dtype: str = "float32") -> RecordDict:
        """As a message's content, arrays in the wire dtype."""
        content = RecordDict({ARRAYS: pack(self.arrays, dtype)})
        content[METRICS] = MetricRecord(to_values(self.metrics))
        if self.extra:
            content[EXTRA] = pack(self.extra, dtype)
        return content

    @classmethod
    def unpack(cls, content: RecordDict) -> Self:
        """The reply in a message's content; its tensors are judged by whoever knows their names.

        Raises:
            RejectedMessage: the client failed; or a record or value is absent or senseless.
        """
        refuse_failure(content)
        record = record_of(content, METRICS, MetricRecord)
        metrics = TrainMetrics(**from_values(TrainMetrics, record, METRICS))
        arrays = unpacked(record_of(content, ARRAYS, ArrayRecord))
        extra = optional_record(content, EXTRA)
        only(content, ARRAYS, METRICS, EXTRA)
        weight = payload_bytes(content)
        return cls(arrays, metrics, {} if extra is None else unpacked(extra), weight)


def unpacked(record: ArrayRecord) -> Arrays:
    """The arrays of a record, where they lie: the server sums them and changes none.

    Raises:
        RejectedMessage: its bytes are no arrays.
    """
    try:
        return unpack(record, own=False)
    except ValueError as error:
        raise RejectedMessage(f"its arrays cannot be read: {error}") from error
