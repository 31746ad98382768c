"""The learning rate over rounds."""

import math

import pytest

from fedvlm_flwr.config import Config, compose
from fedvlm_flwr.schedule import round_lr


def config_of(overrides: str) -> Config:
    return compose({"overrides": f"train.lr=0.01 train.min_lr=0.002 num_rounds=8 {overrides}"})


def test_cosine_by_hand() -> None:
    config = config_of("train.schedule=cosine")
    assert round_lr(config, 0, 1) == pytest.approx(0.01, rel=1e-12)
    # t = 2 of 8: cos(pi / 4) = sqrt(2) / 2
    assert round_lr(config, 0, 3) == pytest.approx(0.002 + 0.004 * (1 + math.sqrt(0.5)), rel=1e-12)
    # halfway, cos(pi / 2) = 0: the mean of both ends
    assert round_lr(config, 0, 5) == pytest.approx(0.006, rel=1e-12)
    # t = 6 of 8: cos(3 pi / 4) = -sqrt(2) / 2
    assert round_lr(config, 0, 7) == pytest.approx(0.002 + 0.004 * (1 - math.sqrt(0.5)), rel=1e-12)


def test_cosine_falls_and_stays_above_the_minimum() -> None:
    config = config_of("train.schedule=cosine")
    rates = [round_lr(config, 0, number) for number in range(1, 9)]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == 8
    assert rates[-1] > 0.002


def test_constant() -> None:
    config = config_of("train.schedule=constant")
    assert {round_lr(config, 0, number) for number in range(1, 9)} == {0.01}


def test_one_round_uses_the_whole_rate() -> None:
    assert round_lr(config_of("num_rounds=1"), 0, 1) == pytest.approx(0.01)


def test_stage_may_set_its_own_rate_and_rounds() -> None:
    stages = "'tuning.stages=[{train:{llm:lora},num_rounds:2,lr:0.1}]'"
    config = config_of(f"train.schedule=cosine {stages}")
    assert round_lr(config, 0, 1) == pytest.approx(0.1)
    assert round_lr(config, 0, 2) == pytest.approx((0.1 + 0.002) / 2)
