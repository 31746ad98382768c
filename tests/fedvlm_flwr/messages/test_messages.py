"""Messages as records, and what is refused of them."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedvlm_flwr.errors import (
    ConfigError,
    DataError,
    ModelError,
    OutOfMemory,
    PolicyError,
    RequestError,
    RunError,
    StateError,
)
from fedvlm_flwr.messages import (
    Failure,
    FailureCode,
    RejectedMessage,
    ScoresReply,
    ScoresRequest,
    SiteReply,
    TrainMetrics,
    TrainReply,
    TrainRequest,
    decision,
)
from fedvlm_flwr.messages.failure import LONGEST, SENTENCES, one_line
from fedvlm_flwr.messages.fields import declared_fields
from fedvlm_flwr.messages.wire import pack

ARRAYS = {"llm.a": np.arange(3, dtype=np.float32)}


def test_a_request_names_as_many_parts_of_a_residual_as_rounds_can_leave():
    """One of a rank of 1 each, until a layer of 8,192 inputs has none left."""
    uses = " ".join(f"residual.{n}:{n}" for n in range(1, 8193))
    place = {"client": 0, "stage": 0, "round": 9000, "run": "0" * 32, "data": (0,)}
    request = TrainRequest(**place, uses=uses, arrays=pack(ARRAYS))
    assert TrainRequest.unpack(request.pack()).uses == uses


requests = st.builds(
    TrainRequest,
    client=st.integers(0, 2**31 - 1),
    stage=st.integers(0, 3),
    round=st.integers(0, 10_000),
    data=st.lists(st.integers(0, 999), min_size=1, max_size=5).map(tuple),
    state_round=st.integers(0, 10_000),
    run=st.text("0123456789abcdef", max_size=32),
    arrays=st.just(pack(ARRAYS)),
    extra=st.sampled_from([None, pack(ARRAYS)]),
    deposits=st.sampled_from([None, pack(ARRAYS)]),
    uses=st.sampled_from(["", "previous:1 residual.3:3"]),
    resting=st.sampled_from(["", "lora_A"]),
)


@given(requests)
def test_a_request_comes_back_as_it_was(request):
    content = request.pack({"lr": 0.5, "client": -1})
    assert TrainRequest.unpack(content) == request
    assert content["request"]["lr"] == 0.5
    assert sum(record.count_bytes() for record in content.values()) > 0  # Flower can weigh it


def test_a_scores_request_and_a_site_come_back_as_they_were():
    place = {"client": 1, "stage": 0, "round": 2, "run": "a", "arrays": pack(ARRAYS)}
    for full in (True, False):
        request = ScoresRequest(**place, full=full)
        assert ScoresRequest.unpack(request.pack()) == request
    site = SiteReply(partition=3, simulated=True)
    assert SiteReply.unpack(site.pack()) == site


def reply(**changes) -> RecordDict:
    metrics = {"num_examples": 5, "loss": 0.5, "steps": 3, **changes}
    record = MetricRecord({key: value for key, value in metrics.items() if value is not None})
    return RecordDict({"arrays": pack(ARRAYS), "metrics": record})


def test_a_reply_comes_back_as_it_was():
    metrics = TrainMetrics(num_examples=5, loss=0.5, steps=3, saved_state=True)
    sent = TrainReply(ARRAYS, metrics, {"c": np.ones(1, np.float32)})
    back = TrainReply.unpack(sent.pack())
    assert back.metrics == metrics
    np.testing.assert_array_equal(back.arrays["llm.a"], ARRAYS["llm.a"])
    np.testing.assert_array_equal(back.extra["c"], [1])
    assert back.num_bytes > 4 * 4


NUMBERS = [f.name for f in declared_fields(TrainMetrics)]


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.5, 1e40, [1.0, 2.0]], ids=str)
def test_every_number_of_a_reply_is_judged(field, value):
    if field == "loss" and value == -1.5:
        return  # a loss may be below 0
    with pytest.raises(RejectedMessage, match=rf"metrics\.{field}"):
        TrainReply.unpack(reply(**{field: value}))


@pytest.mark.parametrize("field", NUMBERS)
def test_what_a_reply_may_leave_out_has_a_meaning(field):
    content = reply(**{field: None})
    if field == "num_examples":
        with pytest.raises(RejectedMessage, match="lacks 'num_examples'"):
            TrainReply.unpack(content)
    else:
        assert TrainReply.unpack(content).metrics == replace(
            TrainReply.unpack(reply()).metrics, **{field: default_of(field)}
        )


def default_of(field: str):
    (item,) = [f for f in fields(TrainMetrics) if f.name == field]
    return item.default


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (MetricRecord({"vqa/accuracy": math.nan}), "no finite number"),
        (MetricRecord({"vqa/accuracy": [1.0]}), "no finite number"),
        (MetricRecord({"vqa/accuracy": 1e300}), "no finite number"),
        (MetricRecord({"accuracy": 1.0}), "named 'accuracy', not task/metric"),
        (MetricRecord({"a\nb/c": 1.0}), "not task/metric"),
        (MetricRecord({"../x/y": 1.0}), "not task/metric"),
        (MetricRecord({f"vqa/{i}": 1.0 for i in range(10_001)}), "more than 10000"),
        (ConfigRecord({"vqa/accuracy": 1.0}), "is a ConfigRecord"),
        (ArrayRecord(), "is a ArrayRecord"),
    ],
)
def test_scores_that_cannot_be_used(record, reason):
    with pytest.raises(RejectedMessage, match=reason):
        ScoresReply.unpack(RecordDict({"scores": record}))


def test_scores_come_back_as_they_were():
    sent = ScoresReply({"vqa": {"accuracy": 0.5, "yes/no": 1.0}, "caption": {"cider": 0.25}}, 2.5)
    assert ScoresReply.unpack(sent.pack()) == sent
    with pytest.raises(RejectedMessage, match="record 'scores' is missing"):
        ScoresReply.unpack(RecordDict())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), FailureCode.CONFIGURATION),
        (DataError("x"), FailureCode.DATA),
        (ModelError("x"), FailureCode.MODEL),
        (StateError("x"), FailureCode.STATE),
        (RequestError("x"), FailureCode.REQUEST),
        (PolicyError("x"), FailureCode.POLICY),
        (OutOfMemory("x"), FailureCode.MEMORY),
        (RunError("x"), FailureCode.INTERNAL),
        (KeyError("x"), FailureCode.INTERNAL),
    ],
)
def test_a_failure_has_a_code_and_no_words_of_its_own(error, code):
    failure = Failure.of(error, "")
    assert failure.code is code
    content = failure.pack()
    assert dict(content["failure"]) == {"code": code.value}
    assert Failure.unpack(content).reason.startswith(SENTENCES[code])
    with pytest.raises(RejectedMessage, match=f"code {code.value}"):
        TrainReply.unpack(content)


def test_the_words_of_a_hostile_failure_are_one_bounded_line():
    words = "\x1b[31mred\n\u202eevil\u2028" + "x" * 10_000
    content = RecordDict({"failure": ConfigRecord({"code": "no such", "words": words})})
    reason = Failure.unpack(content).reason
    assert len(reason) <= LONGEST and reason.isprintable() and reason.endswith("...")
    assert Failure.unpack(content).code is FailureCode.INTERNAL


@given(st.text())
def test_one_line_is_one_printable_line(text):
    line = one_line(text)
    assert line.isprintable() and len(line) <= LONGEST


@pytest.mark.parametrize("kind", [TrainRequest, TrainMetrics, SiteReply, ScoresRequest])
def test_every_field_that_travels_has_its_unit(kind):
    assert all(item.metadata["unit"] for item in declared_fields(kind))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PolicyError("x"), "refused (policy)"),
        (RequestError("x"), "refused (request)"),
        (DataError("x"), "failed (data)"),
        (KeyError("x"), "failed (internal)"),
    ],
)
def test_a_reply_tells_what_became_of_its_request(error, words):
    assert decision(Failure.of(error, "").pack()) == words
    assert decision(RecordDict({"arrays": pack(ARRAYS)})) == "worked"
