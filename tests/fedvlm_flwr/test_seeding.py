"""Random streams."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvlm_flwr.seeding import stream, torch_seed

seeds = st.integers(0, 2**32 - 1)
places = st.tuples(st.integers(0, 3), st.integers(0, 1000), st.integers(0, 1000))


FROZEN = [2785637031482788437, 4444659396218449923]


def draws(seed: int, purpose: str, *place: int) -> list[int]:
    return [int(number) for number in stream(seed, purpose, *place).integers(2**62, size=4)]


@settings(deadline=None, max_examples=50)
@given(seeds, places)
def test_same_arguments_same_numbers_whatever_was_drawn_before(
    seed: int, place: tuple[int, int, int]
) -> None:
    first = draws(seed, "batches", *place)
    stream(seed, "batches", *place).random(100)
    stream(seed, "cohort").random(7)
    np.random.default_rng(seed).random(3)
    np.random.seed(1)  # global state must not matter
    random.seed(1)
    assert draws(seed, "batches", *place) == first


@settings(deadline=None, max_examples=50)
@given(seeds, seeds, places, places)
def test_differ_by_seed_and_place(
    seed: int, other: int, place: tuple[int, int, int], elsewhere: tuple[int, int, int]
) -> None:
    same = (seed, place) == (other, elsewhere)
    assert (draws(seed, "batches", *place) == draws(other, "batches", *elsewhere)) == same


def test_differ_by_purpose() -> None:
    purposes = ("cohort", "batches", "dropout", "partition", "lora", "sample")
    assert len({tuple(draws(0, purpose, 0, 1, 2)) for purpose in purposes}) == len(purposes)


def test_places_are_not_added_up() -> None:
    drawn = {tuple(draws(0, "batches", *place)) for place in ((0, 1, 2), (0, 2, 1), (1, 0, 2))}
    assert len(drawn) == 3


def test_numbers_are_the_same_on_every_machine() -> None:
    """Frozen: a change here changes what every recorded seed means."""
    assert draws(0, "cohort", 0, 1)[:2] == FROZEN


def test_torch_seeds_fit_and_differ() -> None:
    drawn = [torch_seed(0, "dropout", 0, number, 5) for number in range(200)]
    assert len(set(drawn)) == 200
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert torch_seed(0, "dropout", 0, 3, 5) == drawn[3]
