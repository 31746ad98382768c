"""Which replies may enter the mean."""

from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages import Failure, FailureCode, RejectedMessage, TrainMetrics
from fedvlm_flwr.messages.wire import pack, payload_bytes
from strategies.core.validation import Expected, read_reply

Wrap = Callable[[RecordDict | Error], Message]
EXPECTED = {
    "connector.w": np.zeros((2, 3), np.float32),
    "llm.a": np.zeros(4, np.float32),
}
CONTROL = {"control.w": np.zeros(1, np.float32)}


def ones() -> Arrays:
    return {name: np.ones_like(values) for name, values in EXPECTED.items()}


def content(
    arrays: ArrayRecord | None = None, metrics: dict[str, float] | None = None
) -> RecordDict:
    numbers = {"num_examples": 5, "loss": 0.5} if metrics is None else metrics
    return RecordDict(
        {
            "arrays": pack(ones()) if arrays is None else arrays,
            "metrics": MetricRecord(dict(numbers)),
        }
    )


def changed(name: str, values: object) -> ArrayRecord:
    return pack(ones() | {name: np.asarray(values, np.float32)})


def test_good_reply_is_read_whole(as_message: Wrap) -> None:
    sent = content()
    sent["extra"] = pack({"control.w": np.array([2.0], np.float32)})
    reply = read_reply(as_message(sent), Expected(EXPECTED, CONTROL))
    for name, values in ones().items():
        np.testing.assert_array_equal(reply.arrays[name], values)
    np.testing.assert_array_equal(reply.extra["control.w"], [2.0])
    assert reply.metrics == TrainMetrics(num_examples=5.0, loss=0.5)
    assert reply.num_bytes == payload_bytes(sent) > 10 * 4


def test_bfloat16_reply_is_read(as_message: Wrap) -> None:
    reply = read_reply(as_message(content(pack(ones(), "bfloat16"))), Expected(EXPECTED))
    np.testing.assert_array_equal(reply.arrays["llm.a"], np.ones(4))


def refused(message: Message, reason: str, extra: Arrays | None = None) -> None:
    with pytest.raises(RejectedMessage, match=reason):
        read_reply(message, Expected(EXPECTED, extra or {}))


def test_error_of_flower(as_message: Wrap) -> None:
    trace = "Traceback (most recent call last):\n  ...\nMemoryError: no room\n"
    refused(as_message(Error(3, trace)), r"^error 3: MemoryError: no room$")


@pytest.mark.parametrize("reason", [None, "", "\n"])
def test_error_of_flower_without_a_reason(as_message: Wrap, reason: str | None) -> None:
    refused(as_message(Error(3, reason)), r"^error 3: ")


def test_failure_of_the_client(as_message: Wrap) -> None:
    refused(as_message(Failure(FailureCode.DATA, "No disk.").pack()), r"^No disk\.$")
    refused(as_message(Failure(FailureCode.DATA).pack()), r"^a record or an image .*\(code data;")


@pytest.mark.parametrize("record", ["arrays", "metrics"])
def test_missing_record(as_message: Wrap, record: str) -> None:
    sent = content()
    del sent[record]
    refused(as_message(sent), f"record '{record}' is missing")


def test_missing_array(as_message: Wrap) -> None:
    refused(as_message(content(pack({"llm.a": ones()["llm.a"]}))), "lack 'connector.w'")


def test_extra_array(as_message: Wrap) -> None:
    refused(as_message(content(changed("llm.embed", [1.0]))), "hold 'llm.embed'")


@pytest.mark.parametrize("shape", [(3, 2), (6,), (2, 3, 1), (2, 2), (1, 3)])
def test_wrong_shape(as_message: Wrap, shape: tuple[int, ...]) -> None:
    refused(
        as_message(content(changed("connector.w", np.zeros(shape)))), r"'connector.w' has shape"
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_numbers_that_are_not_finite(as_message: Wrap, number: float, dtype: str) -> None:
    arrays = ones()
    arrays["llm.a"][3] = number
    refused(as_message(content(pack(arrays, dtype))), r"'llm\.a' holds NaN or Inf")


@pytest.mark.parametrize("number", [0, -3, np.nan, np.inf, -np.inf])
def test_number_of_examples(as_message: Wrap, number: float) -> None:
    refused(as_message(content(metrics={"num_examples": number, "loss": 0.1})), "num_examples")


def test_no_number_of_examples(as_message: Wrap) -> None:
    refused(as_message(content(metrics={"loss": 0.1})), "num_examples")


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", b"PK\x03\x04" + b"\x00" * 40],
    ids=["empty", "garbage", "broken zip file"],
)
def test_arrays_that_cannot_be_read(as_message: Wrap, data: bytes) -> None:
    record = pack(ones())
    record["llm.a"] = Array(dtype="float32", shape=(4,), stype="numpy.ndarray", data=data)
    refused(as_message(content(record)), "cannot be read")


@pytest.mark.parametrize("record", ["arrays", "metrics", "failure", "extra"])
def test_record_of_another_kind(as_message: Wrap, record: str) -> None:
    """A site with other code must not end the run for the rest."""
    sent = content()
    sent.pop(record, None)
    sent[record] = MetricRecord({"a": 1}) if record == "failure" else ConfigRecord({"a": 1})
    with pytest.raises(RejectedMessage):
        read_reply(as_message(sent), Expected(EXPECTED))


def test_extra_numbers_that_are_not_finite(as_message: Wrap) -> None:
    sent = content()
    sent["extra"] = pack({"control.w": np.array([np.nan], np.float32)})
    refused(as_message(sent), r"control\.w", CONTROL)


def test_extra_arrays_must_be_those_that_the_algorithm_expects(as_message: Wrap) -> None:
    refused(as_message(content()), r"lack 'control\.w'", CONTROL)
    sent = content()
    sent["extra"] = pack({"control.w": np.ones(1, np.float32)})
    refused(as_message(sent), r"hold 'control\.w', which was not asked for")
    refused(as_message(sent), "has shape", {"control.w": np.ones((1, 1), np.float32)})


def test_arrays_come_in_the_order_that_was_sent(as_message: Wrap) -> None:
    """Flower's Krum pairs arrays by position."""
    sent = content(pack(dict(reversed(ones().items()))))
    assert list(read_reply(as_message(sent), Expected(EXPECTED)).arrays) == list(EXPECTED)


def test_a_loss_may_be_missing_but_not_be_nan(as_message: Wrap) -> None:
    reply = read_reply(as_message(content(metrics={"num_examples": 2})), Expected(EXPECTED))
    assert reply.metrics == TrainMetrics(num_examples=2.0)
    refused(as_message(content(metrics={"num_examples": 2, "loss": np.nan})), "'metrics.loss'=nan")


@pytest.mark.parametrize("value", ["", []])
def test_a_record_that_nobody_declared(as_message: Wrap, value: object) -> None:
    """Flower cannot even weigh it; that must not end the run for the rest."""
    sent = content()
    sent["source"] = ConfigRecord({"host": value})  # type: ignore[dict-item]
    refused(as_message(sent), "record 'source', which nobody asked for")


def test_norm_of_the_update(as_message: Wrap) -> None:
    """Ten ones: the norm is sqrt(10) = 3.162."""
    within, beyond = Expected(EXPECTED, max_norm=3.17), Expected(EXPECTED, max_norm=3.16)
    assert read_reply(as_message(content()), within).metrics.num_examples == 5
    with pytest.raises(RejectedMessage, match=r"norm 3\.162, more than max_update_norm=3\.16"):
        read_reply(as_message(content()), beyond)
    far = content(pack({name: np.full_like(v, 1e14) for name, v in EXPECTED.items()}))
    with pytest.raises(RejectedMessage, match="max_update_norm"):
        read_reply(as_message(far), within)


@pytest.mark.parametrize("number", [1e16, -3e38])
def test_finite_numbers_that_would_overflow_a_rule_are_left_out(
    as_message: Wrap, number: float
) -> None:
    """Whatever max_update_norm is: FedAdam squares them."""
    refused(as_message(content(changed("llm.a", [0, 0, number, 0]))), r"'llm\.a' holds .*1e\+15")
    sent = content()
    sent["extra"] = pack({"control.w": np.array([number], np.float32)})
    refused(as_message(sent), r"'control\.w' holds", CONTROL)


def test_the_norm_bounds_everything_that_a_reply_moves(as_message: Wrap) -> None:
    """A control variate's change of 1e6 is no better than a model's."""
    sent = content()
    sent["extra"] = pack({"control.w": np.array([1e6], np.float32)})
    assert read_reply(as_message(sent), Expected(EXPECTED, CONTROL)).extra["control.w"] == 1e6
    with pytest.raises(RejectedMessage, match=r"extra has norm 1e\+06, more than max_update_norm"):
        read_reply(as_message(sent), Expected(EXPECTED, CONTROL, max_norm=20))
