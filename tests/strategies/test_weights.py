"""A client weighs no more than a few times what its cohort does, whatever it says of itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import MetricRecord, RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import SiteReply, TrainMetrics, TrainRequest
from fedvlm_flwr.messages.wire import unpack
from fedvlm_flwr.plugins import available
from fedvlm_flwr.report.live import plain_line
from fedvlm_flwr.run_folder import PROGRESS, RunFolder
from server_app.callbacks.progress import Progress
from strategies.core.flower import FederatedStrategy
from strategies.core.weights import WeightLimit
from tests.facts import declared

ALL = available("strategies")
OTHERS = ("ROBUST", "SHARES_ALL", "SHARES_NOTHING")  # these weigh nobody, or have one or none
NO_MEANS = {name for fact in OTHERS for name in declared("tests.strategies", ALL, fact)}
MEANS = sorted(set(ALL) - NO_MEANS)
EXAMPLES = (20, 40, 30, 10)  # the lower median is 20
START: Arrays = {"w": np.zeros(3, np.float32)}
TRAIN = compose({"overrides": "train.local_epochs=1 train.local_steps=null"}).train
Federate = Callable[..., FederatedStrategy]


def site(partition: int) -> SiteReply:
    return SiteReply(partition=partition, simulated=True, examples=(EXAMPLES[partition],))


@pytest.fixture
def run(federate: Federate, make_grid: Callable[..., Any], good_reply: Callable[..., RecordDict]):
    """Two rounds of four clients, of whom client 3 reports what `lie` says."""

    def start(
        name: str, lie: dict[str, float], share: float | None = 10.0, **facts: Any
    ) -> FederatedStrategy:
        def train(content: RecordDict) -> RecordDict:
            request = TrainRequest.unpack(content)
            client, shared = request.client, unpack(request.arrays)
            draws = np.random.default_rng([client, request.round])
            moved = {n: v + draws.normal(size=3).astype(np.float32) for n, v in shared.items()}
            asks = request.extra is not None
            extra = {n: v - shared[n] for n, v in moved.items()} if asks else None
            reply = good_reply(moved, EXAMPLES[client], 0.5 + client, extra, steps=1 + client % 2)
            if client == 3:
                metrics = reply["metrics"]
                assert isinstance(metrics, MetricRecord)
                metrics.update(lie)
            return reply

        more: dict[str, Any] = {"rounds": 2, "num_clients": 4, "max_weight_share": share, **facts}
        return federate(name, train, START, grid=make_grid(train, 4, site), **more)

    return start


def same(one: FederatedStrategy, two: FederatedStrategy) -> bool:
    states = [s.state.arrays | s.state.server for s in (one, two)]
    assert states[0].keys() == states[1].keys()
    return all(np.array_equal(values, states[1][key]) for key, values in states[0].items())


@pytest.mark.parametrize("name", MEANS)
def test_a_trillion_examples_weigh_as_ten_times_the_median(run, name) -> None:
    """As if it had said 200; for a rule that weighs by examples that is far from what it says."""
    liar, honest = run(name, {"num_examples": 1e12}), run(name, {"num_examples": 200})
    assert same(liar, honest)
    assert set(liar.limited) == {3} and not honest.limited
    assert "1e+12 examples and weighs as 200" in liar.limited[3]
    assert liar.accepted == honest.accepted  # the mean loss too
    owner = run(name, {"num_examples": 1e12}, share=None)
    assert same(owner, honest) == same(run(name, {}, share=None), honest)


@pytest.mark.parametrize("name", MEANS)
def test_without_effect_where_nobody_says_more(run, name) -> None:
    """Bit for bit."""
    assert same(run(name, {}), run(name, {}, share=None))
    assert same(run(name, {}, local_training=TRAIN, max_update_norm=50), run(name, {}, share=None))


@pytest.mark.parametrize("steps", [1, 10**9])
def test_steps_are_a_word_as_well(run, steps) -> None:
    """FedNova with the median of one step: many lengthen the step tenfold at most."""
    honest = run("fednova", {}, rounds=1)
    liar = run("fednova", {"steps": steps}, rounds=1, local_training=TRAIN)
    length = [np.linalg.norm(s.state.arrays["w"]) for s in (liar, honest)]
    assert length[0] < 12 * length[1]
    if steps > 1:
        endless = run("fednova", {"steps": steps}, rounds=1)
        assert np.linalg.norm(endless.state.arrays["w"]) > 1e6 * length[1]


def test_few_steps_weigh_no_more_than_many_examples() -> None:
    """Ten clients of 100 examples in batches of 1: 100 steps each, one example a step."""
    limit = WeightLimit.of(10, dict.fromkeys(range(10), 100), {c: (c,) for c in range(10)}, int)
    assert (limit.examples, limit.steps, limit.per_step) == (1000, 1000, 10)

    quick = TrainMetrics(num_examples=100, steps=1)
    assert limit.bounded(quick, by_steps=True).num_examples == 10
    assert limit.bounded(quick, by_steps=False) is quick


def test_a_round_of_fednova_moves_no_further_than_one_reply_may(run) -> None:
    """The steps that a reply reports move the model as well, and max_update_norm bounds that."""
    lie = {"steps": 10**9}
    bounded = run("fednova", lie, None, rounds=1, max_update_norm=4.0).state.arrays["w"]
    free = run("fednova", lie, None, rounds=1).state.arrays["w"]
    np.testing.assert_allclose(np.linalg.norm(bounded), 4, rtol=1e-5)
    np.testing.assert_allclose(bounded / 4, free / np.linalg.norm(free), rtol=1e-5)


def test_of_two_clients_one_cannot_set_the_measure() -> None:
    limit = WeightLimit.of(10, {0: 5, 1: 10**12}, {0: (0,), 1: (1,)}, None)
    assert limit.examples == 50


def test_the_pooled_baseline_weighs_all_it_trains_on() -> None:
    limit = WeightLimit.of(1, {0: 5, 1: 7}, {0: (0, 1)}, None)
    assert limit.examples == 12


def test_a_client_that_does_not_say_how_much_it_has_is_named(
    federate, make_grid, good_reply
) -> None:
    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply(shared)

    with pytest.raises(RunError, match=r"client 0 is not known; .*max_weight_share=null"):
        federate("fedavg", train, START, max_weight_share=10.0)


def test_it_is_said_once_of_each_client(run, tmp_path: Path) -> None:
    run("fedavg", {"num_examples": 1e12}, callback=Progress(RunFolder(tmp_path)))
    lines = [json.loads(line) for line in (tmp_path / PROGRESS).read_text().splitlines()]
    assert [plain_line(line) for line in lines if line["event"] == "limited"] == [
        "round 1/0: client 3: it reports 1e+12 examples and weighs as 200 (max_weight_share=10 "
        "times the cohort's median)"
    ]
