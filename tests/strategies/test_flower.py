"""Every algorithm is a Flower strategy that can be called by hand, without our round loop."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import TrainMetrics, TrainReply, TrainRequest
from fedvlm_flwr.messages.wire import pack, unpack
from fedvlm_flwr.plugins import available
from strategies import load_strategy
from strategies.core.federation import Federation
from strategies.core.loop import RoundLoop
from tests import choices
from tests.strategies.conftest import shipped_params

ALL = available("strategies")
CLIENTS = 5  # as many as Krum asks for
START = {"a.w": np.zeros(3, np.float32), "b.w": np.ones((1, 2), np.float32)}


def strategy_of(name: str, **facts):
    choice = choices.algorithm(name, shipped_params(name))
    return load_strategy(choice, Federation(CLIENTS, **facts))


def reply_to(message: Message) -> Message:
    """Clients move by their number and the round's; extra arrays come back as they were sent."""
    request = TrainRequest.unpack(message.content)
    step = np.float32(request.client + request.round / 8)
    arrays = {name: values + step for name, values in unpack(request.arrays).items()}
    extra = unpack(request.extra) if request.extra is not None else {}
    metrics = TrainMetrics(num_examples=request.client + 1, loss=0.5, steps=2)
    return Message(TrainReply(arrays, metrics, extra).pack(), reply_to=message)


def by_hand(strategy, grid, rounds):
    arrays = pack(START)
    for number in range(1, rounds + 1):
        messages = list(strategy.configure_train(number, arrays, ConfigRecord(), grid))
        replies = [reply_to(message) for message in reversed(messages)]
        arrays, metrics = strategy.aggregate_train(number, replies)
        assert metrics["loss"] == 0.5
        assert metrics["num_examples"] == (15 if len(messages) == CLIENTS else 1)
    return unpack(arrays)


@pytest.fixture
def grid(make_grid):
    return make_grid(reply_to_content, CLIENTS)


def reply_to_content(content):
    return reply_to(Message(content, 1, "train")).content


@pytest.mark.parametrize("name", ALL)
def test_by_hand_it_is_what_the_loop_makes(grid, name):
    ours = strategy_of(name)
    RoundLoop(ours, grid, timeout=10).run(pack(START), 3)
    result = by_hand(strategy_of(name), grid, 3)
    assert result.keys() == ours.state.arrays.keys()
    for key, values in ours.served().items():
        np.testing.assert_allclose(result[key], values, rtol=1e-6, err_msg=key)


def test_the_config_of_the_caller_reaches_the_client(grid):
    config = ConfigRecord({"lr": 0.5, "client": 77})
    first, *_ = strategy_of("fedavg").configure_train(1, pack(START), config, grid)
    assert first.content["request"]["lr"] == 0.5
    assert TrainRequest.unpack(first.content).client == 0


def test_a_reply_to_something_else_is_refused(grid):
    strategy = strategy_of("fedavg")
    (first, *_) = strategy.configure_train(1, pack(START), ConfigRecord(), grid)
    other = Message(first.content, 12345, "train")
    with pytest.raises(RunError, match="node 12345 answers no message of this round"):
        strategy.aggregate_train(1, [reply_to(other)])


def test_a_second_reply_of_a_client_is_left_out(grid):
    strategy = strategy_of("fedavg", min_replies=1)
    (first, *_) = strategy.configure_train(1, pack(START), ConfigRecord(), grid)
    arrays, metrics = strategy.aggregate_train(1, [reply_to(first), reply_to(first)])
    assert metrics["num_examples"] == 1
    np.testing.assert_array_equal(unpack(arrays)["a.w"], START["a.w"] + np.float32(0.125))


def test_too_few_replies_end_the_run(grid):
    strategy = strategy_of("fedavg")
    (first, *_) = strategy.configure_train(1, pack(START), ConfigRecord(), grid)
    with pytest.raises(RunError, match="Round 1 got 1 good replies and needs 5"):
        strategy.aggregate_train(1, [reply_to(first)])


def test_arrays_that_somebody_changed_are_gone_on_from(grid):
    strategy = strategy_of("fedavg")
    arrays = {name: values + 50 for name, values in START.items()}
    for number, start in ((1, START), (2, arrays)):
        messages = list(strategy.configure_train(number, pack(start), ConfigRecord(), grid))
        request = TrainRequest.unpack(messages[0].content)
        np.testing.assert_array_equal(unpack(request.arrays)["a.w"], start["a.w"])
        strategy.aggregate_train(number, map(reply_to, messages))


def test_the_log_says_which_algorithm_runs(caplog):
    strategy_of("fedprox").summary()
    assert "fedprox with Params(adapters=None, mu=0.01)" in caplog.text or not caplog.text
