"""The round loop with federated averaging, from `start` to the result."""

import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import Result

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.messages import Failure, FailureCode, TrainMetrics, TrainReply, TrainRequest
from fedvlm_flwr.messages.names import REQUEST
from fedvlm_flwr.messages.wire import pack, payload_bytes, unpack
from strategies import load_hook, load_strategy
from strategies.core import cohort
from strategies.core.client_hook import ClientHook
from strategies.core.events import Callback, Callbacks, Round
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy
from strategies.core.loop import RoundLoop, ScoreGlobal
from strategies.core.state import ServerState
from strategies.fedavg import FedAvg, Params
from tests import choices

MakeGrid = Callable[..., InProcessGrid]
GoodReply = Callable[..., RecordDict]
Train = Callable[[int, int, Arrays], RecordDict]

START: Arrays = {
    "connector.w": np.array([1.0, 2.0], np.float32),
    "llm.a": np.zeros((1, 2), np.float32),
}
EXAMPLES, LOSSES = {0: 1, 1: 3}, {0: 2.0, 1: 1.0}
STEPS = {
    0: {"connector.w": [1.0, 1.0], "llm.a": [[8.0, 0.0]]},
    1: {"connector.w": [5.0, -3.0], "llm.a": [[0.0, 4.0]]},
}
# (1 * (1, 1) + 3 * (5, -3)) / 4 = (4, -2) and (1 * (8, 0) + 3 * (0, 4)) / 4 = (2, 3)


class Watcher(Callback):
    """Notes what it is told, in request."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.rounds: list[Round] = []
        self.arrays: list[Arrays] = []
        self.scored: list[tuple[int, bool]] = []

    def on_round_start(self, account: Round) -> None:
        self.told.append(("start", account.number, tuple(account.cohort)))

    def on_reply(self, account: Round, client: int, reply: TrainReply | None) -> None:
        self.told.append(("reply", account.number, client, reply is not None))

    def on_round_end(self, account: Round, state: ServerState) -> None:
        self.told.append(("end", account.number))
        self.rounds.append(account)
        self.arrays.append({name: values.copy() for name, values in state.arrays.items()})

    def on_scored(self, state: ServerState) -> None:
        self.scored.append((state.number, state.scored))


@pytest.fixture
def steps_by_hand(good_reply: GoodReply) -> Train:
    """Clients 0 and 1 add their constant steps; any other one adds nothing."""

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        steps = STEPS.get(client, {})
        result = {
            name: values + np.asarray(steps.get(name, 0.0), np.float32)
            for name, values in shared.items()
        }
        return good_reply(result, EXAMPLES.get(client, 1), LOSSES.get(client, 0.0))

    return train


def fedavg(num_clients: int = 2, min_replies: int | None = None, **facts: Any) -> FederatedStrategy:
    return FedAvg(Params(), Federation(num_clients, min_replies=min_replies, **facts))


def run(
    strategy: FederatedStrategy,
    grid: InProcessGrid,
    start: Arrays | ArrayRecord = START,
    rounds: int = 1,
    evaluate: ScoreGlobal | None = None,
    **settings: Any,
) -> Result:
    initial = start if isinstance(start, ArrayRecord) else pack(start)
    return RoundLoop(strategy, grid, **{"timeout": 10, **settings}).run(initial, rounds, evaluate)


def test_two_clients_by_hand(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    watcher = Watcher()
    strategy = fedavg()
    result = run(strategy, make_grid(steps_by_hand), START, rounds=2, callback=watcher)
    np.testing.assert_array_equal(watcher.arrays[0]["connector.w"], [5.0, 0.0])
    np.testing.assert_array_equal(watcher.arrays[0]["llm.a"], [[2.0, 3.0]])
    final = unpack(result.arrays)
    np.testing.assert_array_equal(final["connector.w"], [9.0, -2.0])
    np.testing.assert_array_equal(final["llm.a"], [[4.0, 6.0]])
    # loss: (1 * 2 + 3 * 1) / 4
    metrics = result.train_metrics_clientapp
    assert {number: dict(values) for number, values in metrics.items()} == {
        number: {"loss": 1.25, "num_examples": 4.0} for number in (1, 2)
    }
    assert [account.loss for account in watcher.rounds] == [1.25, 1.25]


def test_callbacks_are_told_in_order(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    first, second, scored = Watcher(), Watcher(), []

    def evaluate(number: int, arrays: Arrays, residual: Arrays) -> MetricRecord | None:
        scored.append((number, arrays["connector.w"].tolist(), len(first.told)))
        return MetricRecord({"accuracy": number / 10}) if number != 1 else None

    strategy = fedavg()
    result = run(
        strategy,
        make_grid(steps_by_hand),
        START,
        rounds=2,
        evaluate=evaluate,
        callback=Callbacks([first, second]),
    )
    assert first.told == second.told
    assert first.scored == [(0, True), (1, True), (2, True)]
    one, two = first.told[:4], first.told[4:]
    for number, told in enumerate((one, two), start=1):
        assert told[0] == ("start", number, (0, 1))
        assert sorted(told[1:3]) == [("reply", number, 0, True), ("reply", number, 1, True)]
        assert told[3] == ("end", number)
    # before the first round, then after each, when its callbacks have been told
    assert scored == [(0, [1.0, 2.0], 0), (1, [5.0, 0.0], 4), (2, [9.0, -2.0], 8)]
    scores = result.evaluate_metrics_serverapp
    assert {number: dict(values) for number, values in scores.items()} == {
        0: {"accuracy": 0.0},
        2: {"accuracy": 0.2},
    }


def test_account_holds_what_went_over_the_wire(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    down: list[int] = []
    up: list[int] = []

    class Scales(InProcessGrid):
        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            kept = list(messages)
            down.extend(payload_bytes(m.content) for m in kept if REQUEST in m.content)
            return super().push_messages(kept)

        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            replies = list(super().pull_messages(message_ids))
            up.extend(payload_bytes(m.content) for m in replies if "arrays" in m.content)
            return replies

    watcher = Watcher()
    strategy = fedavg()
    run(strategy, make_grid(steps_by_hand, grid_class=Scales), START, rounds=1, callback=watcher)
    (account,) = watcher.rounds
    assert len(down) == len(up) == 2
    assert account.bytes_down == sum(down) > 2 * 4 * 4
    assert account.bytes_up == sum(up) > 2 * 4 * 4
    assert 0 <= account.waiting <= account.seconds < 10
    assert account.replies == {
        client: TrainMetrics(num_examples=EXAMPLES[client], loss=LOSSES[client])
        for client in (0, 1)
    }
    assert account.failures == {}


@pytest.mark.parametrize(("dtype", "width"), [("bfloat16", 2), ("int8", 1.07)])
def test_short_numbers_make_messages_short(
    make_grid: MakeGrid, good_reply: GoodReply, dtype: str, width: float
) -> None:
    start, watcher = {"w": np.ones(10_000, np.float32)}, Watcher()
    grid = make_grid(lambda client, number, arrays: good_reply({"w": start["w"] * 0.1}), 1)
    run(fedavg(1, wire_dtype=dtype), grid, pack(start), rounds=2, callback=watcher)
    assert 40_000 < watcher.rounds[0].bytes_down < 41_000  # whole
    assert 10_000 * width - 500 < watcher.rounds[1].bytes_down < 10_000 * width + 1_000


def test_only_the_cohort_is_asked(make_grid: MakeGrid, good_reply: GoodReply) -> None:
    asked: dict[int, list[int]] = {}

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        asked.setdefault(number, []).append(client)
        return good_reply(shared)

    watcher = Watcher()
    strategy = fedavg(6, 2, clients_per_round=2)
    run(strategy, make_grid(train, 6), START, rounds=4, callback=watcher)
    expected = {n: cohort.choose_cohort(range(6), 2, 0, 0, n) for n in range(1, 5)}
    assert {number: sorted(clients) for number, clients in asked.items()} == expected
    assert [account.cohort for account in watcher.rounds] == list(expected.values())


def test_two_nodes_serve_five_clients(
    make_grid: MakeGrid, good_reply: GoodReply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort, "SETTLE_SECONDS", 0.0)
    nodes: dict[int, int] = {}

    class Notes(InProcessGrid):
        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            kept = list(messages)
            for message in kept:
                if REQUEST in message.content:
                    request = TrainRequest.unpack(message.content)
                    nodes[request.client] = message.metadata.dst_node_id
            return super().push_messages(kept)

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + np.float32(client)})

    grid = make_grid(train, 2, grid_class=Notes)
    result = run(fedavg(5), grid, pack({"w": np.zeros(1, np.float32)}), rounds=1)
    assert unpack(result.arrays)["w"] == 2.0  # (0 + 1 + 2 + 3 + 4) / 5
    first, second = grid.get_node_ids()
    assert nodes == {0: first, 1: second, 2: first, 3: second, 4: first}


def poison(value: float, bad: int, good: Train) -> Train:
    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        reply = good(client, number, shared)
        if client == bad:
            reply["arrays"] = pack({name: values + value for name, values in shared.items()})
        return reply

    return train


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_poisoned_reply_leaves_the_mean_of_the_others(
    make_grid: MakeGrid, steps_by_hand: Train, value: float
) -> None:
    watcher = Watcher()
    strategy = fedavg(3, 2)
    grid = make_grid(poison(value, 2, steps_by_hand), 3)
    result = run(strategy, grid, START, rounds=1, callback=watcher)
    np.testing.assert_array_equal(unpack(result.arrays)["connector.w"], [5.0, 0.0])
    (account,) = watcher.rounds
    assert account.failures.keys() == {2}
    assert "NaN or Inf" in account.failures[2]
    assert account.replies.keys() == {0, 1}
    assert account.loss == 1.25
    assert ("reply", 1, 2, False) in watcher.told


def test_examples_beyond_measure_cannot_poison_the_mean(
    make_grid: MakeGrid, good_reply: GoodReply
) -> None:
    """1e308 examples are finite, and their sum with 1e308 others is not."""

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply(shared, 1e308 if client else 10)

    try:
        result = run(fedavg(3, 1), make_grid(train, 3), START, rounds=1)
    except RunError:
        return
    assert all(np.isfinite(values).all() for values in unpack(result.arrays).values())


def test_too_few_good_replies_end_the_run(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    watcher = Watcher()
    strategy = fedavg(3, 3)
    grid = make_grid(poison(np.nan, 1, steps_by_hand), 3)
    with pytest.raises(RunError) as refusal:
        run(strategy, grid, START, rounds=2, callback=watcher)
    text = str(refusal.value)
    assert "Round 1" in text
    assert "2 good replies" in text
    assert "needs 3" in text
    assert "min_replies" in text
    assert "client 1: " in text
    assert "NaN or Inf" in text
    assert "client 0" not in text
    assert watcher.rounds == []


def test_a_client_that_raises_is_named(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        if client == 1:
            raise OSError("the disk is full")
        return steps_by_hand(client, number, shared)

    watcher = Watcher()
    run(fedavg(2, 1), make_grid(train), START, rounds=1, callback=watcher)
    assert "the disk is full" in watcher.rounds[0].failures[1]
    with pytest.raises(RunError, match=r"client 1: .*the disk is full"):
        run(fedavg(), make_grid(train), START, rounds=1, callback=watcher)


@pytest.mark.parametrize("min_replies", [0, 1, 2])
def test_a_round_without_a_good_reply_never_ends_well(
    make_grid: MakeGrid, min_replies: int
) -> None:
    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return Failure(FailureCode.DATA, f"tired of {number}").pack()

    with pytest.raises(RunError, match=r"client 0: tired of 1; client 1: tired of 1"):
        run(fedavg(2, min_replies), make_grid(train), START, rounds=1)


class Silent(InProcessGrid):
    """Client 1 is never heard of again."""

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        kept = list(messages)
        ids = list(super().push_messages(kept))
        self.lost = {
            message_id
            for message_id, message in zip(ids, kept, strict=True)
            if REQUEST in message.content
            and cast(ConfigRecord, message.content[REQUEST])["client"] == 1
        }
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return super().pull_messages(set(message_ids) - self.lost)


def test_a_reply_past_the_timeout_is_a_failure(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    watcher = Watcher()
    result = run(
        fedavg(2, 1),
        make_grid(steps_by_hand, grid_class=Silent),
        START,
        rounds=1,
        timeout=0.3,
        callback=watcher,
    )
    np.testing.assert_array_equal(unpack(result.arrays)["connector.w"], [2.0, 3.0])
    (account,) = watcher.rounds
    assert account.failures == {1: "no reply within 0.3 s"}
    assert account.waiting >= 0.25
    with pytest.raises(RunError, match=r"client 1: no reply within 0\.3 s"):
        run(
            fedavg(),
            make_grid(steps_by_hand, grid_class=Silent),
            START,
            rounds=1,
            timeout=0.3,
            callback=watcher,
        )


def test_messages_that_cannot_be_sent_end_the_run(
    make_grid: MakeGrid, steps_by_hand: Train
) -> None:
    class Full(InProcessGrid):
        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            kept = list(messages)
            is_round = any(REQUEST in message.content for message in kept)
            return super().push_messages(kept[:1] if is_round else kept)

    with pytest.raises(RunError, match="Only 1 of 2 messages"):
        run(fedavg(), make_grid(steps_by_hand, grid_class=Full), START, rounds=1)


def fails(reason: str) -> RecordDict:
    return Failure(FailureCode.DATA, reason).pack()


def moody(good: Train, refusals: dict[int, int]) -> tuple[Train, list[int]]:
    """Clients that answer only after so many refusals, and who was asked, in request."""
    left, asked = dict(refusals), []

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        asked.append(client)
        if left.get(client, 0):
            left[client] -= 1
            return fails(f"client {client} is asleep")
        return good(client, number, shared)

    return train, asked


def test_who_fails_once_is_asked_once_more(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    train, asked = moody(steps_by_hand, {1: 1})
    watcher = Watcher()
    result = run(fedavg(), make_grid(train), START, rounds=2, callback=watcher)
    assert asked == [0, 1, 1, 0, 1]
    np.testing.assert_array_equal(unpack(result.arrays)["connector.w"], [9.0, -2.0])
    first, second = watcher.rounds
    assert first.retried == {1: "client 1 is asleep"}
    assert first.failures == {} == second.retried
    assert sorted(first.replies) == [0, 1]
    assert 1.4 < first.bytes_down / second.bytes_down < 1.6  # three messages, then two


def test_who_fails_twice_ends_the_run(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    train, asked = moody(steps_by_hand, {1: 2, 2: 1})
    with pytest.raises(RunError, match=r"Round 1 got 2 .* needs 3 .*client 1: .*asleep$"):
        run(fedavg(3), make_grid(train, 3), START, 1)
    assert asked == [0, 1, 2, 1, 2]


def test_nobody_is_asked_again_where_enough_are_good(
    make_grid: MakeGrid, steps_by_hand: Train
) -> None:
    train, asked = moody(steps_by_hand, {2: 1})
    watcher = Watcher()
    strategy = fedavg(3, 2)
    run(strategy, make_grid(train, 3), START, rounds=1, callback=watcher)
    assert asked == [0, 1, 2]
    assert watcher.rounds[0].failures == {2: "client 2 is asleep"}
    assert watcher.rounds[0].retried == {}


def test_a_second_attempt_that_is_enough_leaves_the_others_out(
    make_grid: MakeGrid, steps_by_hand: Train
) -> None:
    train, asked = moody(steps_by_hand, {1: 1, 2: 2})
    watcher = Watcher()
    strategy = fedavg(3, 2)
    run(strategy, make_grid(train, 3), START, rounds=1, callback=watcher)
    assert asked == [0, 1, 2, 1, 2]
    (account,) = watcher.rounds
    assert sorted(account.retried) == [1, 2]
    assert sorted(account.failures) == [2]
    np.testing.assert_array_equal(watcher.arrays[0]["connector.w"], [5.0, 0.0])


@pytest.mark.parametrize(("bound", "left_out"), [(9.0, [1]), (11.0, []), (None, [])])
def test_a_reply_that_moved_too_far_is_left_out(
    make_grid: MakeGrid, steps_by_hand: Train, bound: float | None, left_out: list[int]
) -> None:
    """Client 0 moves by sqrt(1 + 1 + 64) = 8.1, client 1 by sqrt(25 + 9 + 16) = 7.1, twice: 10.0"""

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        reply = steps_by_hand(client, number, shared)
        if client == 1:
            there = unpack(cast(ArrayRecord, reply["arrays"]))
            reply["arrays"] = pack({n: v + (v - shared[n]) * 0.41421 for n, v in there.items()})
        return reply

    watcher = Watcher()
    strategy = fedavg(2, 1, max_update_norm=bound)
    run(strategy, make_grid(train), START, rounds=1, callback=watcher)
    assert sorted(watcher.rounds[0].failures) == left_out
    if left_out:
        assert "max_update_norm=9" in watcher.rounds[0].failures[1]
        np.testing.assert_array_equal(watcher.arrays[0]["connector.w"], [2.0, 3.0])


def test_loss_of_replies_that_tell_none(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    silent: set[int] = {0}

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        reply = steps_by_hand(client, number, shared)
        if client in silent:
            del cast(MetricRecord, reply["metrics"])["loss"]
        silent.update({number - 1})  # from round 2 on client 1 is silent too
        return reply

    watcher = Watcher()
    strategy = fedavg()
    run(strategy, make_grid(train), START, rounds=3, callback=watcher)
    assert watcher.rounds[0].loss == 1.0
    assert np.isnan(watcher.rounds[2].loss)


def test_a_server_step_that_overflows_ends_the_run(
    make_grid: MakeGrid, good_reply: GoodReply
) -> None:
    class Wild(FedAvg):
        def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
            return {name: values * np.float32(np.inf) for name, values in aggregate.items()}

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({name: values + 1 for name, values in shared.items()})

    with pytest.raises(RunError, match=r"round 1 'connector\.w' holds NaN or Inf; lower"):
        run(Wild(Params(), Federation(2)), make_grid(train), START, rounds=2)


def test_goes_on_from_a_state_that_is_given(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    scored = []

    def evaluate(number: int, arrays: Arrays, residual: Arrays) -> MetricRecord | None:
        scored.append(number)
        return None

    for done, expected in ((True, [4]), (False, [3, 4])):
        watcher = Watcher()
        state = ServerState({n: v.copy() for n, v in START.items()}, {}, 3, done, {1: 2})
        strategy = fedavg()
        far = pack({name: values + 50 for name, values in START.items()})
        run(
            strategy,
            make_grid(steps_by_hand),
            far,
            4,
            evaluate=evaluate,
            callback=watcher,
            resume=state,
        )
        assert [account.number for account in watcher.rounds] == [4]
        np.testing.assert_array_equal(watcher.arrays[0]["connector.w"], [5.0, 0.0])
        assert scored == expected
        scored.clear()


def peak_memory(grid: InProcessGrid, num_clients: int, start: Arrays) -> int:
    strategy = fedavg(num_clients)
    record = pack(start)
    tracemalloc.start()
    try:
        run(strategy, grid, record, rounds=1, timeout=60)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_server_memory_does_not_grow_with_the_cohort(
    make_grid: MakeGrid, good_reply: GoodReply
) -> None:
    start = {"w": np.ones(250_000, np.float32)}  # 1 MB
    peaks = [
        peak_memory(make_grid(lambda client, number, shared: good_reply(shared), size), size, start)
        for size in (3, 30)
    ]
    assert peaks[1] < peaks[0] + 1e6  # less than one more reply for 27 more clients


def test_rounds_without_evaluation_give_no_scores(
    make_grid: MakeGrid, steps_by_hand: Train
) -> None:
    result = run(fedavg(), make_grid(steps_by_hand), START, rounds=1)
    assert dict(result.evaluate_metrics_serverapp) == {}


def test_no_rounds_give_the_arrays_back(make_grid: MakeGrid, steps_by_hand: Train) -> None:
    result = run(fedavg(), make_grid(steps_by_hand), START, rounds=0)
    np.testing.assert_array_equal(unpack(result.arrays)["connector.w"], [1.0, 2.0])


def test_chosen_by_name() -> None:
    choice = choices.algorithm("fedavg", {})
    assert isinstance(load_strategy(choice, Federation(2)), FedAvg)
    assert type(load_hook(choice)) is ClientHook


def test_unknown_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.mu"):
        choices.algorithm("fedavg", {"mu": 0.1})


@pytest.mark.parametrize("kind", ["base", "core", "fedsmth", "core.mean"])
def test_unknown_algorithm_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"algorithm '{kind}'; choose one of: .*fedavg"):
        choices.algorithm(kind, {})
