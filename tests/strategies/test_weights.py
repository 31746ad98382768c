"""A client weighs no more than a few times what its cohort does, whatever it says of itself."""

import json
from collections.abc import Callable
from dataclasses import replace
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
from strategies import load_strategy
from strategies.core.events import mean_loss
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy
from strategies.core.weights import WeightLimit
from tests import choices
from tests.facts import declared
from tests.strategies.conftest import shipped_params

ALL = available("strategies")
OTHERS = ("ROBUST", "SHARES_ALL", "SHARES_NOTHING")  # these weigh nobody, or have one or none
NO_MEANS = {name for fact in OTHERS for name in declared("tests.strategies", ALL, fact)}
MEANS = sorted(set(ALL) - NO_MEANS)
EXAMPLES = (20, 40, 30, 10)  # the lower median is 20
START: Arrays = {"w": np.zeros(3, np.float32)}
TRAIN = compose({"overrides": "train.local_epochs=1 train.local_steps=null"}).train
TRAIN_BY_ONE = replace(TRAIN, batch_size=1, accumulation=1)
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
    def train(content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        extra = unpack(request.extra) if request.extra is not None else {}
        return good_reply(unpack(request.arrays), extra=extra)

    silent = make_grid(train, 2, lambda partition: SiteReply(partition=partition, simulated=True))
    with pytest.raises(RunError, match=r"client 0 is not known; .*max_weight_share=null"):
        federate("fedavg", train, START, grid=silent, max_weight_share=10.0)
    federate("fedavg", train, START, grid=silent)
    for name in ("scaffold", "feddyn"):
        with pytest.raises(RunError, match=r"weighting=examples .* client 0 is not known; .*unifo"):
            federate(name, train, START, grid=silent)
        federate(name, train, START, grid=silent, weighting="uniform")


def test_it_is_said_once_of_each_client(run, tmp_path: Path) -> None:
    run("fedavg", {"num_examples": 1e12}, callback=Progress(RunFolder(tmp_path)))
    lines = [json.loads(line) for line in (tmp_path / PROGRESS).read_text().splitlines()]
    assert [plain_line(line) for line in lines if line["event"] == "limited"] == [
        "round 1/0: client 3: it reports 1e+12 examples and weighs as 200 (max_weight_share=10 "
        "times the cohort's median)"
    ]


@pytest.mark.parametrize("name", MEANS)
def test_clients_that_count_alike_do_so_whatever_they_report(run, name) -> None:
    """The loss is their plain mean too: (0.5 + 1.5 + 2.5 + 3.5) / 4."""
    honest = run(name, {}, weighting="uniform")
    for share in (10.0, None):
        liar = run(name, {"num_examples": 1e12}, share, weighting="uniform")
        assert same(liar, honest) and not liar.limited
    assert mean_loss(honest.accepted, honest.weight) == 2.0
    assert not same(run(name, {}), honest)


@pytest.mark.parametrize("name", sorted(declared("tests.strategies", ALL, "ROBUST")))
def test_robust_rules_count_clients_alike_whatever_is_chosen(name) -> None:
    choice = choices.algorithm(name, shipped_params(name))
    assert load_strategy(choice, Federation(7)).federation.weighting == "uniform"


def test_few_steps_weigh_less_than_a_client_where_clients_count_alike(run) -> None:
    """FedNova divides by them. Of 1/20, 1/40, 1/30 and 1/10 of a client a step 1/30 is usual."""
    more = {"rounds": 1, "weighting": "uniform", "local_training": TRAIN_BY_ONE}
    quick = run("fednova", {"steps": 1}, **more)
    assert quick.weight(quick.accepted[3]) == pytest.approx(10 / 30)
    assert (
        "it reports 1 steps and weighs as 0.333333 of a client (max_weight_share=10"
        in (quick.limited[3])
    )


def test_what_every_client_weighs() -> None:
    """Of 1, 2, 3 and 1000 examples the lower median is 2: no more than 20 count."""
    examples = {0: 1, 1: 2, 2: 3, 3: 1000}
    bounded = Federation(4, max_weight_share=10.0)
    assert bounded.all_weights(examples) == {0: 1, 1: 2, 2: 3, 3: 20}
    assert Federation(4).all_weights(examples) == examples
    assert Federation(4, weighting="uniform").all_weights({}) == dict.fromkeys(range(4), 1.0)
    with pytest.raises(RunError, match="client 2 is not known"):
        Federation(4).all_weights(examples | {2: 0})


def test_the_configuration_says_what_clients_count_by_and_how_long_a_step_may_be() -> None:
    shipped, other = (
        Federation.of(compose({"overrides": more}))
        for more in ("", "weighting=uniform max_step_ratio=3")
    )
    assert (shipped.weighting, shipped.max_step_ratio) == ("examples", None)
    assert (other.weighting, other.max_step_ratio) == ("uniform", 3.0)
