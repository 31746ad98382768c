"""A reply that cannot be used changes nothing: the round is as if its client had not answered."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import pack, unpack
from fedvlm_flwr.plugins import available
from strategies.core.flower import FederatedStrategy
from tests.facts import declared

ALL = available("strategies")
OTHERS = ("ROBUST", "SHARES_ALL", "SHARES_NOTHING")  # these need more replies, or have one or none
NO_MEANS = {name for fact in OTHERS for name in declared("tests.strategies", ALL, fact)}
MEANS = [name for name in ALL if name not in NO_MEANS]
START: Arrays = {"a": np.zeros(3, np.float32), "z": np.ones((1, 2), np.float32)}
Spoil = Callable[[RecordDict], None]


def arrays_of(reply: RecordDict, record: str) -> Arrays:
    found = reply.get(record, ArrayRecord())
    assert isinstance(found, ArrayRecord)
    return unpack(found)


def put(number: float, record: str) -> Spoil:
    def spoil(reply: RecordDict) -> None:
        arrays = arrays_of(reply, record) or {"a": np.ones(3, np.float32)}
        arrays["a"][1] = number
        reply[record] = pack(arrays)

    return spoil


def shape(record: str) -> Spoil:
    return lambda reply: reply.update(
        {record: pack(arrays_of(reply, record) | {"a": np.ones((3, 1), np.float32)})}
    )


def surplus(record: str) -> Spoil:
    return lambda reply: reply.update(
        {record: pack(arrays_of(reply, record) | {"b": np.ones(3, np.float32)})}
    )


def lacking(reply: RecordDict) -> None:
    reply["arrays"] = pack({"a": arrays_of(reply, "arrays")["a"]})


def metric(name: str, value: float) -> Spoil:
    def spoil(reply: RecordDict) -> None:
        record = reply["metrics"]
        assert isinstance(record, MetricRecord)
        record[name] = value

    return spoil


def without(record: str) -> Spoil:
    return lambda reply: reply.__delitem__(record)


def other_kind(record: str) -> Spoil:
    return lambda reply: reply.update({record: ConfigRecord({"a": 1})})


SPOILS: dict[str, Spoil] = {
    "NaN": put(np.nan, "arrays"),
    "Inf": put(-np.inf, "arrays"),
    "absurd norm": put(3e38, "arrays"),
    "absurd norm of extra": put(3e38, "extra"),
    "far": put(1e4, "arrays"),
    "far extra": put(1e4, "extra"),
    "shape": shape("arrays"),
    "missing array": lacking,
    "array that was not asked for": surplus("arrays"),
    "no examples": metric("num_examples", 0),
    "negative examples": metric("num_examples", -5),
    "endless examples": metric("num_examples", 1e308),
    "NaN examples": metric("num_examples", float("nan")),
    "NaN loss": metric("loss", float("nan")),
    "no arrays": without("arrays"),
    "no metrics": without("metrics"),
    "metrics of another kind": other_kind("metrics"),
    "NaN in extra": put(np.nan, "extra"),
    "shape of extra": shape("extra"),
    "surplus extra": surplus("extra"),
    "extra of another kind": other_kind("extra"),
    "empty text": lambda reply: reply.update({"more": ConfigRecord({"a": ""})}),
}


@pytest.fixture
def run(
    federate: Callable[..., FederatedStrategy], good_reply: Callable[..., RecordDict]
) -> Callable[..., FederatedStrategy]:
    """Two rounds of three clients; one of them sends what `spoil` makes of its reply, or fails."""

    def start(name: str, bad: int, spoil: Spoil | None, seed: int) -> FederatedStrategy:
        def train(content: RecordDict) -> RecordDict:
            request = TrainRequest.unpack(content)
            client, shared = request.client, unpack(request.arrays)
            if client == bad and spoil is None:
                raise OSError("gone")
            draws = np.random.default_rng([client, request.round, seed])
            moved = {
                n: v + draws.normal(size=v.shape).astype(np.float32) for n, v in shared.items()
            }
            asks = request.extra is not None
            extra = {n: v - shared[n] for n, v in moved.items()} if asks else None
            reply = good_reply(moved, client + 1, 0.5, extra, steps=client + 1)
            if client == bad and spoil is not None:
                spoil(reply)
            return reply

        facts: dict[str, Any] = {"num_clients": 3, "min_replies": 2, "max_update_norm": 1e3}
        return federate(name, train, START, rounds=2, **facts)

    return start


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(MEANS),
    bad=st.integers(0, 2),
    spoil=st.sampled_from(sorted(SPOILS)),
    seed=st.integers(0, 99),
)
def test_as_if_the_client_had_not_answered(
    run: Callable[..., FederatedStrategy], name: str, bad: int, spoil: str, seed: int
) -> None:
    spoilt, gone = (run(name, bad, what, seed).state for what in (SPOILS[spoil], None))
    assert (spoilt.arrays.keys(), spoilt.server.keys()) == (gone.arrays.keys(), gone.server.keys())
    for key, values in (gone.arrays | gone.server).items():
        np.testing.assert_array_equal((spoilt.arrays | spoilt.server)[key], values)


@pytest.mark.parametrize("spoil", SPOILS)
def test_each_way_once(run: Callable[..., FederatedStrategy], spoil: str) -> None:
    """Also that the bad client counts where its reply is good: the comparison can fail."""
    name = "scaffold"
    spoilt, gone = (run(name, 1, what, 0).state.arrays["a"] for what in (SPOILS[spoil], None))
    np.testing.assert_array_equal(spoilt, gone)
    good = run(name, 1, lambda reply: None, 0).state.arrays["a"]
    assert not np.array_equal(good, gone)
