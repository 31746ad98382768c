"""Changes on the wire in a short number format: what is sent, what is carried, what is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from client_app.private import PrivateState
from client_app.uplink import Outgoing, shared_of
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError, StateError
from fedvlm_flwr.messages import Failure, FailureCode, TrainRequest
from fedvlm_flwr.messages.wire import unpack
from strategies.core.downlink import Downlink
from strategies.core.federation import Federation
from strategies.core.state import ServerState
from tests.strategies.conftest import Federate, GoodReply

SHORT = ["bfloat16", "int8"]


class Site:
    """Clients that add their number plus one to every weight, times a step, through a real disk."""

    def __init__(self, folder: Path, good_reply: GoodReply, dtype: str, step: float) -> None:
        self.folder, self.good_reply, self.dtype, self.step = folder, good_reply, dtype, step
        self.requests: list[TrainRequest] = []
        self.as_read: dict[tuple[int, int], Arrays] = {}

    def private(self, request: TrainRequest) -> PrivateState:
        return PrivateState(self.folder, request.run, request.client, request.stage)

    def __call__(self, content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        self.requests.append(request)
        private = self.private(request)
        memory = private.load(request.state_round)
        try:
            shared, _ = shared_of(request, private)
        except StateError as error:
            return Failure(FailureCode.STATE, str(error)).pack()
        self.as_read[request.client, request.round] = shared
        sent = {n: v for n, v in shared.items() if not request.resting or request.resting not in n}
        after = {n: v + np.float32(self.step * (request.client + 1)) for n, v in sent.items()}
        draw = np.random.default_rng([request.round, request.client])
        going = Outgoing.of(sent, after, {}, memory, self.dtype, draw)
        saved = private.save(request.round, going.memory)
        return self.good_reply(going.arrays, saved_state=saved)


@pytest.fixture
def site(tmp_path: Path, good_reply: GoodReply) -> Callable[[str, float], Site]:
    return lambda dtype, step: Site(tmp_path, good_reply, dtype, step)


START = {"w": np.linspace(0.5, 2, 40, dtype=np.float32)}


@pytest.mark.parametrize("dtype", SHORT)
def test_steps_that_are_small_beside_the_weights_add_up(
    federate: Federate, site: Callable[[str, float], Site], dtype: str
) -> None:
    """60 steps of 1.5e-5 on weights near 1, whose bfloat16 neighbors are 4e-3 to 8e-3 away."""
    clients = site(dtype, 1e-5)
    strategy = federate("fedavg", clients, START, rounds=60, num_clients=2, wire_dtype=dtype)
    moved = strategy.state.arrays["w"] - START["w"]
    np.testing.assert_allclose(moved, 60 * 1.5e-5, rtol=0.02)
    last = clients.as_read[0, 60]["w"] - START["w"]
    np.testing.assert_allclose(last, 59 * 1.5e-5, rtol=0.02)  # clients follow as closely


@pytest.mark.parametrize("dtype", SHORT)
def test_a_client_is_sent_all_first_and_then_changes(
    federate: Federate, site: Callable[[str, float], Site], dtype: str
) -> None:
    clients = site(dtype, 0.1)
    facts: dict[str, Any] = {"num_clients": 3, "clients_per_round": 2, "wire_dtype": dtype}
    federate("fedavg", clients, START, rounds=8, **facts)
    last: dict[int, int] = {}
    for request in clients.requests:
        on_the_way = request.arrays["packed"].dtype
        if last.get(request.client) == request.round - 1:
            assert (request.since, on_the_way) == (request.round - 1, dtype)
        else:
            assert (request.since, on_the_way) == (0, "float32")
        last[request.client] = request.round
    assert {request.since > 0 for request in clients.requests} == {True, False}
    both = {n: [v for (_, r), v in clients.as_read.items() if r == n] for n in range(1, 9)}
    for one, other in both.values():  # whether it came whole or as a change
        np.testing.assert_array_equal(one["w"], other["w"])


def test_a_client_that_lost_what_it_had_is_sent_all_again(
    federate: Federate, site: Callable[[str, float], Site], tmp_path: Path
) -> None:
    clients = site("bfloat16", 0.1)

    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        if request.round == 3 and len(clients.requests) == 2:
            for path in tmp_path.glob("*published*"):
                path.unlink()
        return clients(content)

    strategy = federate("fedavg", train, START, rounds=4, num_clients=1, wire_dtype="bfloat16")
    assert [(r.round, r.since) for r in clients.requests] == [
        (1, 0),
        (2, 1),
        (3, 2),
        (3, 0),
        (4, 3),
    ]
    np.testing.assert_allclose(strategy.state.arrays["w"], START["w"] + 0.4, atol=1e-3)


def test_what_has_not_changed_does_not_travel(
    federate: Federate, site: Callable[[str, float], Site]
) -> None:
    start = {
        f"llm.q.lora_{half}": np.full(s, 0.5, np.float32)
        for half, s in (("A", (2, 9)), ("B", (7, 2)))
    }
    clients = site("bfloat16", 0.1)
    federate("rolora", clients, start, rounds=4, num_clients=1, wire_dtype="bfloat16")
    names = [sorted(name[-1] for name in unpack(r.arrays)) for r in clients.requests]
    assert names == [["A", "B"], ["B"], ["A"], ["B"]]  # the half that the round before has trained


@pytest.mark.parametrize("dtype", SHORT)
def test_a_published_state_is_the_same_from_any_side(dtype: str) -> None:
    """Cut to a rank, as a change or whole, by one process or a later one: one state."""
    rng = np.random.default_rng(0)
    shapes = {"llm.q.lora_A": (8, 70), "llm.q.lora_B": (50, 8), "connector.w": (5, 6)}
    state = ServerState({n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()})
    down = Downlink(Federation(3, wire_dtype=dtype))
    down.publish(state, {"c": np.ones(4, np.float32)})
    before = state.section("published")
    state.number = 1
    state.arrays = {
        n: v + rng.normal(size=v.shape).astype(np.float32) / 9 for n, v in state.arrays.items()
    }
    down.publish(state, {"c": np.full(4, 1.3, np.float32)})
    after = state.section("published")
    for rank in (None, 2, 5):
        holds = {down.name(rank): 1}
        change = down.address(state, rank, holds, dict, extra=True)
        whole = down.address(state, rank, {}, dict, extra=True)
        assert (change["since"], whole["since"]) == (1, 0)
        moved, new = unpack(change["arrays"]), unpack(whole["arrays"])
        for name, values in new.items():
            cut = tuple(slice(size) for size in values.shape)
            np.testing.assert_array_equal(before[f"shared/{name}"][cut] + moved[name], values)
            np.testing.assert_array_equal(after[f"shared/{name}"][cut], values)
        np.testing.assert_allclose(unpack(whole["extra"])["c"], 1.3, atol=0.01)
    later = Downlink(Federation(3, wire_dtype=dtype))
    later.publish(state, {})
    assert later.address(state, None, {down.name(None): 1}, dict, extra=False)["since"] == 0
    np.testing.assert_array_equal(
        state.section("published")["shared/connector.w"], after["shared/connector.w"]
    )


def test_ranks_that_zeros_tell_are_refused(federate: Federate, good_reply: GoodReply) -> None:
    start = {
        "llm.q.lora_A": np.ones((2, 3), np.float32),
        "llm.q.lora_B": np.ones((4, 2), np.float32),
    }
    with pytest.raises(ConfigError, match=r"hetlora .* zeros .* wire\.dtype=float32"):
        federate("hetlora", lambda content: content, start, wire_dtype="bfloat16")
