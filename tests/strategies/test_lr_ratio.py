"""The rules with a memory know how the clients' learning rate falls."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import compose
from fedvlm_flwr.schedule import round_lr
from strategies.core.federation import Federation

RATES = (1.0, 0.5, 0.125)  # exact in float32, like the changes
STEADY = np.array([4.0, -2.0, 0.5], np.float32)  # what clients move by at the whole rate
START: Arrays = {"w": np.zeros(3, np.float32)}
RULES: dict[str, dict[str, float]] = {
    "fedavgm": {"beta": 0.5, "server_lr": 0.5},
    "fedadagrad": {"eta": 0.5, "tau": 1.0},
    "fedadam": {"eta": 0.5, "tau": 1.0, "beta_1": 0.5, "beta_2": 0.75},
    "fedyogi": {"eta": 0.5, "tau": 1.0, "beta_1": 0.5, "beta_2": 0.75},
}
Federate = Callable[..., Any]


def ratio(server_round: int) -> float:
    return RATES[server_round - 1]


@pytest.fixture
def end(federate: Federate, good_reply: Callable[..., RecordDict]) -> Callable[..., Any]:
    """The strategy after so many rounds with a learning rate that falls, or stays."""

    def run(name: str, rounds: int, *, falls: bool, damped: bool = True) -> Any:
        def train(client: int, number: int, shared: Arrays) -> RecordDict:
            step = STEADY * np.float32(number)  # rounds are not alike
            return good_reply({"w": shared["w"] + step * (ratio(number) if falls else 1.0)})

        params = RULES[name] | ({"damped": damped} if name == "fedavgm" else {})
        facts = {"lr_ratio": ratio} if falls else {}
        return federate(name, train, START, params, rounds, **facts)

    return run


@pytest.mark.parametrize("damped", [True, False])
@pytest.mark.parametrize("name", RULES)
def test_the_memory_is_that_of_the_whole_rate_and_the_step_follows_it(
    end: Callable[..., Any], name: str, damped: bool
) -> None:
    whole = [end(name, n, falls=False, damped=damped).state for n in (1, 2, 3)]
    falling = end(name, 3, falls=True, damped=damped).state
    places = [np.zeros(3), *(state.arrays["w"] for state in whole)]
    expected = sum(rate * step for rate, step in zip(RATES, np.diff(places, axis=0), strict=True))
    np.testing.assert_allclose(falling.arrays["w"], expected, rtol=1e-5)
    for key, values in whole[-1].server.items():
        np.testing.assert_allclose(falling.server[key], values, rtol=1e-5, err_msg=key)


def test_momentum_does_not_outweigh_the_last_rounds(
    federate: Federate, good_reply: Callable[..., RecordDict]
) -> None:
    """Clients go another way in each of 5 rounds of a cosine, as they do in training.

    Damped, of changes that are at right angles: .1 sqrt(sum of .81^i) / (1 - .9^5) = .45 of one.
    """
    config = compose({"overrides": "num_rounds=5 train.schedule=cosine"})
    of_run = Federation.of(config)

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        step = np.eye(5, dtype=np.float32)[number - 1] * of_run.lr_ratio(number)
        return good_reply({"w": shared["w"] + step})

    start = {"w": np.zeros(5, np.float32)}
    strategy = federate("fedavgm", train, start, {"beta": 0.9}, rounds=5, lr_ratio=of_run.lr_ratio)
    expected = 0.1 * np.sqrt((1 - 0.81**5) / 0.19) / (1 - 0.9**5)
    assert strategy.step_ratio == pytest.approx(expected, rel=1e-4)


def test_a_run_tells_its_own_schedule() -> None:
    stages = "'tuning.stages=[{train:{llm:lora},num_rounds:2,lr:0.1},{train:{llm:lora}}]'"
    for more in ("train.schedule=cosine", "train.schedule=constant"):
        config = compose({"overrides": f"{more} num_rounds=5 {stages}"})
        for stage, peak in ((0, 0.1), (1, config.train.lr)):
            of = Federation.of(config, stage).lr_ratio
            assert of(1) == 1.0
            assert of(2) == pytest.approx(round_lr(config, stage, 2) / peak)
