"""How long a server's step is beside the clients' mean change: measured, told and bounded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.report.live import plain_line
from fedvlm_flwr.run_folder import METRICS, PROGRESS, RunFolder
from server_app.callbacks.metrics import MetricsWriter
from server_app.callbacks.progress import Progress
from strategies.core.events import Callbacks
from strategies.core.step import Step

Federate = Callable[..., Any]
BEFORE: Arrays = {"a": np.ones(2, np.float32), "b": np.zeros((1, 1), np.float32)}
MEAN: Arrays = {"a": np.array([4, 1], np.float32), "b": np.array([[4]], np.float32)}  # 5 away
AFTER: Arrays = {"a": np.array([1, 7], np.float32), "b": np.array([[8]], np.float32)}  # 10 away
ZERO = {"w": np.zeros(1, np.float32)}
UNDAMPED = {"beta": 0.9, "server_lr": 1.0, "damped": False}


def test_by_hand() -> None:
    step = Step.of(BEFORE, MEAN, AFTER, None)
    assert (step.ratio, step.words) == (2.0, "")
    assert step.arrays is AFTER
    assert Step.of(BEFORE, MEAN, MEAN, None).ratio == 1.0
    assert Step.of(BEFORE, MEAN, AFTER, 2.0).arrays is AFTER


def test_a_bound_scales_all_tensors_alike() -> None:
    """To 1.5 times 5 of 10: three quarters of the way."""
    step = Step.of(BEFORE, MEAN, AFTER, 1.5)
    np.testing.assert_allclose(step.arrays["a"], [1, 5.5], rtol=1e-6)
    np.testing.assert_allclose(step.arrays["b"], [[6]], rtol=1e-6)
    assert all(values.dtype == np.float32 for values in step.arrays.values())
    assert (step.ratio, step.rule_ratio) == (1.5, 2.0)
    assert step.words == (
        "the server's step is 2 times the clients' mean change; max_step_ratio=1.5 bounds it"
    )


def test_where_the_mean_does_not_move_there_is_no_ratio() -> None:
    free, bounded = (Step.of(BEFORE, BEFORE, AFTER, most) for most in (None, 2.0))
    assert free.ratio is bounded.ratio is None
    assert free.arrays is AFTER
    np.testing.assert_array_equal(bounded.arrays["a"], BEFORE["a"])


@pytest.fixture
def slowing(good_reply: Callable[..., RecordDict]) -> Callable[..., RecordDict]:
    """Clients that move by 16, then 4, then 1."""
    return lambda client, number, shared: good_reply({"w": shared["w"] + 16.0 / 4 ** (number - 1)})


def told(folder: Path, federate: Federate, train: object, **facts: Any) -> tuple[Any, list[str]]:
    """The strategy after three rounds of undamped momentum, and the lines of its progress."""
    place = RunFolder(folder)
    watchers = Callbacks([MetricsWriter(place), Progress(place)])
    strategy = federate("fedavgm", train, ZERO, UNDAMPED, 3, callback=watchers, **facts)
    events = [json.loads(line) for line in (folder / PROGRESS).read_text().splitlines()]
    return strategy, [line for event in events if (line := plain_line(event))]


def test_every_round_tells_its_ratio_and_a_run_warns_once(
    federate: Federate, slowing: object, tmp_path: Path
) -> None:
    """m = 16, then 18.4, then 17.56, beside changes of 16, 4 and 1."""
    strategy, lines = told(tmp_path, federate, slowing)
    assert strategy.step_ratio == pytest.approx(17.56)
    metrics = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    ratios = {line["round"]: line["value"] for line in metrics if line["metric"] == "step_ratio"}
    assert ratios == {1: 1.0, 2: pytest.approx(4.6), 3: pytest.approx(17.56)}
    rounds = [line for line in lines if line.startswith("round")]
    assert "server step" not in rounds[0]
    assert rounds[2].endswith(", server step 17.56 of the mean change")
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert "In round 2 the server's step is 4.6 times" in warning


def test_a_bound_leaves_the_rules_memory_as_it_is(
    federate: Federate, slowing: object, tmp_path: Path
) -> None:
    strategy, lines = told(tmp_path, federate, slowing, max_step_ratio=2.0)
    np.testing.assert_allclose(strategy.state.arrays["w"], 16 + 2 * 4 + 2 * 1, rtol=1e-6)
    np.testing.assert_allclose(strategy.state.section("m")["w"], 17.56, rtol=1e-6)
    assert not [line for line in lines if line.startswith("warning")]


@pytest.mark.parametrize("name", ["krum", "fednova", "local", "fedavg"])
def test_a_rule_without_a_step_of_its_own_takes_the_mean_change(
    federate: Federate, good_reply: Callable[..., RecordDict], name: str
) -> None:
    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({key: v + client for key, v in shared.items()}, client + 1, steps=2)

    strategy = federate(name, train, ZERO, num_clients=5, max_step_ratio=1.0)
    assert strategy.step_ratio == (None if name == "local" else 1.0)
