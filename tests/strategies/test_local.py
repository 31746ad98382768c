"""The baseline without a federation: nothing travels, each client goes on from its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import MetricRecord, RecordDict

from fedvlm_flwr.messages import ScoresReply, ScoresRequest, TrainRequest
from strategies.core.events import Callback, Evaluation

SHARES_NOTHING = True

GoodReply = Callable[..., RecordDict]
START = {"w": np.zeros(1000, np.float32)}


def test_nothing_travels_and_clients_go_on_from_their_own(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    seen: list[tuple[int, int, int]] = []

    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        assert set(content) == {"arrays", "request"}
        assert dict(content["arrays"]) == {}
        seen.append((request.client, request.round, request.state_round))
        return good_reply({}, saved_state=True)

    strategy = federate("local", train, START, rounds=3)
    assert strategy.state.arrays == {} == strategy.state.server
    assert strategy.state.saved_rounds == {0: 3, 1: 3}
    assert seen == [(c, number, number - 1) for number in (1, 2, 3) for c in (0, 1)]


def test_a_lost_reply_is_not_gone_on_from(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    seen: list[tuple[int, int]] = []

    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        if request.client == 1:
            seen.append((request.round, request.state_round))
            if request.round == 2:
                return RecordDict({"metrics": MetricRecord({"num_examples": 1, "saved_state": 1})})
        return good_reply({}, saved_state=True)

    federate("local", train, START, rounds=3, min_replies=1)
    assert seen == [(1, 0), (2, 1), (3, 1)]


def test_a_tensor_that_is_sent_all_the_same_is_refused(
    federate: Callable[..., Any], good_reply: GoodReply
) -> None:
    def train(client: int, number: int, shared: object) -> RecordDict:
        return good_reply({"w": START["w"]} if client else {})

    class Watcher(Callback):
        failures: dict[int, str] = {}  # noqa: RUF012

        def on_round_end(self, account: Any, state: Any) -> None:
            self.failures |= account.failures

    federate("local", train, START, min_replies=1, callback=Watcher())
    assert Watcher.failures == {1: "its arrays hold 'w', which was not asked for"}


def test_each_client_scores_its_own_model(
    federate: Callable[..., Any], good_reply: GoodReply, make_grid: Callable[..., Any]
) -> None:
    told: list[Evaluation] = []

    class Watcher(Callback):
        def on_evaluated(self, evaluation: Evaluation) -> None:
            told.append(evaluation)

    def score(content: RecordDict) -> RecordDict:
        request = ScoresRequest.unpack(content)
        accuracy = request.client + request.round + request.state_round / 10
        return ScoresReply({"vqa": {"accuracy": accuracy}}, 0.5).pack()

    def train(client: int, number: int, shared: object) -> RecordDict:
        return good_reply({}, saved_state=True)

    grid = make_grid(train, evaluate=score)
    due = {0: True, 2: False}
    federate("local", None, START, rounds=2, grid=grid, callback=Watcher(), full_scores=due.get)
    assert [(e.number, e.where, e.full, e.scores["vqa"]["accuracy"]) for e in told] == [
        (0, "client:0", True, 0.0),
        (0, "client:1", True, 1.0),
        (0, "clients", True, 0.5),
        (2, "client:0", False, 2.2),
        (2, "client:1", False, 3.2),
        (2, "clients", False, 2.7),
    ]
    assert [evaluation.seconds for evaluation in told] == [0.5, 0.5, 1.0] * 2
