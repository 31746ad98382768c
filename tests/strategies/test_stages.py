"""What a tuning adds to every algorithm: private parts, and stages that build on earlier ones."""

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import unpack
from fedvlm_flwr.plugins import available
from strategies.core.state import ServerState
from tests.facts import declared

START = {"connector.w": np.zeros(4, np.float32), "llm.a": np.zeros(3, np.float32)}
PREVIOUS = {"connector.w": np.arange(4, dtype=np.float32)}
ALL = available("strategies")
# Baselines that share every trained tensor, or none, whatever the tuning says.
SHARES_ALL = declared("tests.strategies", ALL, "SHARES_ALL")
SHARES_NOTHING = declared("tests.strategies", ALL, "SHARES_NOTHING")
AS_TUNED = [name for name in ALL if name not in SHARES_ALL | SHARES_NOTHING]
# Parameters that three clients are enough for, where those of the YAML ask for more.
WITH_THREE_CLIENTS = declared("tests.strategies", ALL, "WITH_THREE_CLIENTS")


def echo(good_reply, seen):
    """Clients that send back what they got, and keep something."""

    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        arrays = unpack(request.arrays)
        seen.append((request.round, request.client, set(content), set(arrays)))
        extra = unpack(request.extra) if request.extra is not None else {}
        return good_reply(arrays, extra=extra, saved_state=True, steps=1)

    return train


@pytest.mark.parametrize("name", AS_TUNED)
def test_only_the_shared_parts_travel_whatever_the_algorithm(federate, good_reply, name):
    seen = []
    shared = federate(
        name,
        echo(good_reply, seen),
        START,
        params=WITH_THREE_CLIENTS.get(name),
        num_clients=3,
        share=("llm",),
    )
    assert {frozenset(arrays) for _, _, _, arrays in seen} == {frozenset({"llm.a"})}
    assert set(shared.state.arrays) == {"llm.a"}
    assert shared.personal


@pytest.mark.parametrize("name", SHARES_ALL)
def test_the_pooled_baseline_keeps_nothing_private(federate, good_reply, name):
    seen = []
    pooled = federate(name, echo(good_reply, seen), START, share=("llm",))
    assert set(pooled.state.arrays) == set(START)
    assert not pooled.personal


def test_each_client_is_told_once_what_earlier_stages_came_to(federate, good_reply):
    """Until its first good reply: whoever has answered has it."""
    seen, failed = [], set()
    work = echo(good_reply, seen)

    def train(content: RecordDict) -> RecordDict:
        reply = work(content)
        request = TrainRequest.unpack(content)
        if request.client == 2 and request.round == 1 and len(failed) < 2:  # asked twice in a round
            failed.add(len(failed))
            return good_reply({}, saved_state=True)
        if request.deposits is not None:
            sent = unpack(request.deposits)
            np.testing.assert_array_equal(sent["previous/connector.w"], [0, 1, 2, 3])
        return reply

    llm = {"llm.a": START["llm.a"]}
    strategy = federate(
        "fedavg",
        train,
        llm,
        rounds=3,
        num_clients=3,
        min_replies=2,
        stage=1,
        previous=PREVIOUS,
    )
    told = [(number, client) for number, client, records, _ in seen if "deposits" in records]
    assert told == [(1, 0), (1, 1), (1, 2), (2, 2)]
    assert all(arrays == {"llm.a"} for _, _, _, arrays in seen)
    assert strategy.state.holds == {client: {"previous": 1} for client in range(3)}


def test_a_resumed_stage_tells_only_those_who_do_not_know(federate, good_reply):
    seen = []
    llm = {"llm.a": START["llm.a"]}
    state = ServerState(llm, number=1, scored=True, holds={0: {"previous": 1}})
    federate(
        "fedavg",
        echo(good_reply, seen),
        llm,
        rounds=2,
        stage=1,
        previous=PREVIOUS,
        resume=state,
    )
    assert [(client, "deposits" in records) for _, client, records, _ in seen] == [
        (0, False),
        (1, True),
    ]


def test_a_first_stage_tells_nothing(federate, good_reply):
    seen = []
    federate("fedavg", echo(good_reply, seen), START)
    assert all(records == {"arrays", "request"} for _, _, records, _ in seen)
