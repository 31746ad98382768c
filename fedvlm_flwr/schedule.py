"""The learning rate of a round, and its steps."""

import math

from fedvlm_flwr.config import Config, Train


def round_lr(config: Config, stage: int, server_round: int) -> float:
    """The learning rate inside round `server_round` (from 1), constant within the round.

    `cosine` is the benchmark's rule, `min + (lr - min) (1 + cos(pi t / T)) / 2` with t = 0 in the
    first of T rounds (FedVLMBench, arXiv 2506.09638, with min = 1e-6).
    """
    settings = config.tuning.stages[stage]
    peak = settings.lr or config.train.lr
    if config.train.schedule == "constant":
        return peak
    progress = (server_round - 1) / config.rounds_of(stage)
    low = config.train.min_lr
    return low + 0.5 * (peak - low) * (1 + math.cos(math.pi * progress))


def lr_ratio(config: Config, stage: int, server_round: int) -> float:
    """The learning rate of a round as a part of that of the stage's first."""
    return round_lr(config, stage, server_round) / round_lr(config, stage, 1)


def steps_of(settings: Train, num_examples: int) -> int:
    """Optimizer steps of one round: `local_steps`, or whole passes over the examples."""
    if settings.local_steps is not None:
        return settings.local_steps
    assert settings.local_epochs is not None
    per_step = settings.batch_size * settings.accumulation
    return settings.local_epochs * -(-num_examples // per_step)
