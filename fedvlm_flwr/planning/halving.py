"""Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): who is tried for how long."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.seeding import stream

Trial = tuple[tuple[str, Any], ...]  # values by key


@dataclass(frozen=True)
class Rung:
    """One step of the search.

    Attributes:
        trials: how many settings are run.
        rounds: of each run.
    """

    trials: int
    rounds: int


def trials_of(space: Mapping[str, Sequence[Any]], most: int, seed: int) -> list[Trial]:
    """The settings of a grid, or a seeded draw of them where there are more than `most`.

    Raises:
        ConfigError: a key of the grid has no list of values.
    """
    for key, values in space.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ConfigError(f"The search space's {key}={values!r} must be a list of values.")
    every = [tuple(zip(space, each, strict=True)) for each in itertools.product(*space.values())]
    if len(every) <= most:
        return every
    draw = stream(seed, "trials").choice(len(every), most, replace=False)
    return [every[i] for i in sorted(draw.tolist())]


def rungs_of(trials: int, rounds: int, fewest: int) -> list[Rung]:
    """The rungs: half the settings go on with twice the rounds, two at least; the last are whole.

    Args:
        rounds: of a whole run.
        fewest: rounds of the first rung at least.
    """
    lengths = [rounds]
    while trials > 2 ** len(lengths) and ceil(lengths[0] / 2) >= fewest and lengths[0] > 1:
        lengths.insert(0, ceil(lengths[0] / 2))
    least = min(2, trials)
    return [Rung(max(least, ceil(trials / 2**i)), each) for i, each in enumerate(lengths)]


def best(scores: Mapping[Trial, float], count: int) -> list[Trial]:
    """The settings with the highest scores, the best first; of equal ones the earlier."""
    order = list(scores)
    return sorted(order, key=lambda trial: (-scores[trial], order.index(trial)))[:count]
