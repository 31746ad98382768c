"""Adapters as arrays: cut, padded, trimmed, stacked."""

import numpy as np
import pytest

from fedvlm_flwr.adapters import (
    cut,
    factors_of,
    highest_rank,
    is_factor,
    is_residual,
    layers_in,
    negative,
    padded,
    pairs_in,
    stacked,
    trimmed,
)

DRAW = np.random.default_rng(0)


def adapters(*ranks: int, inputs: int = 5, outputs: int = 6):
    """One layer a rank, and a connector whose tensors have such shapes too."""
    arrays = {"connector.w": np.arange(12, dtype=np.float32).reshape(3, 4)}
    for number, rank in enumerate(ranks):
        arrays[f"llm.{number}.lora_A"] = DRAW.normal(size=(rank, inputs)).astype(np.float32)
        arrays[f"llm.{number}.lora_B"] = DRAW.normal(size=(outputs, rank)).astype(np.float32)
    return arrays


def same(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_pairs_and_their_names():
    arrays = adapters(2, 3)
    pairs = pairs_in(arrays)
    assert [pair.rank for pair in pairs.values()] == [2, 3] and highest_rank(arrays) == 3
    same(factors_of(pairs), {n: v for n, v in arrays.items() if is_factor(n)})
    del arrays["llm.0.lora_B"]
    assert list(pairs_in(arrays)) == ["llm.1"] and layers_in(arrays) == ["llm.0", "llm.1"]
    assert not is_factor("llm.0.lora_magnitude_vector") and highest_rank({}) == 0
    assert [is_residual(n) for n in ("residual.3", "residual", "residuals.3", "lora_A")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_smaller_rank_is_the_first_rows_and_a_layers_own_where_that_is_smaller():
    arrays = adapters(8, 2)
    small = cut(arrays, 4)
    assert [pair.rank for pair in pairs_in(small).values()] == [4, 2]
    np.testing.assert_array_equal(small["llm.0.lora_B"], arrays["llm.0.lora_B"][:, :4])
    np.testing.assert_array_equal(small["connector.w"], arrays["connector.w"])
    same(cut(arrays, None), arrays)
    same(cut(arrays, 99), arrays)


@pytest.mark.parametrize("rank", [1, 4, 8])
def test_padding_and_trimming_are_each_others_inverse(rank):
    whole = adapters(8, 8)
    shapes = {name: values.shape for name, values in whole.items()}
    small = cut(whole, rank)
    back = padded(small, shapes)
    assert {name: values.shape for name, values in back.items()} == shapes
    for layer, pair in pairs_in(back).items():
        assert not pair.a[rank:].any() and not pair.b[:, rank:].any()
        small_pair = pairs_in(small)[layer]
        np.testing.assert_allclose(pair.b @ pair.a, small_pair.b @ small_pair.a, atol=1e-5)
    same(trimmed(back, {name: values.shape for name, values in small.items()}), small)


@pytest.mark.parametrize("other", [{"inputs": 3}, {"outputs": 4}])
def test_another_layer_is_not_made_to_fit(other):
    """Only the rank may be smaller; whoever writes it into a model refuses the rest by name."""
    shapes = {name: values.shape for name, values in adapters(8).items()}
    small = adapters(4, **other)
    back = padded(small, shapes)
    assert {n: v.shape for n, v in back.items()} != shapes


def test_a_higher_rank_is_left_as_it_is():
    shapes = {name: values.shape for name, values in adapters(8).items()}
    large = adapters(9)
    same(padded(large, shapes), large)


def test_stacked_factors_have_the_sum_of_the_products():
    one, other = (
        {n: v for n, v in adapters(*ranks).items() if is_factor(n)} for ranks in ((2, 3), (4,))
    )
    both = stacked([one, other])
    assert [pair.rank for pair in pairs_in(both).values()] == [6, 3]
    for layer, pair in pairs_in(both).items():
        parts = [pairs_in(each)[layer] for each in (one, other) if layer in pairs_in(each)]
        np.testing.assert_allclose(pair.b @ pair.a, sum(p.b @ p.a for p in parts), atol=1e-5)
    nothing = stacked([one, negative(one)])
    for pair in pairs_in(nothing).values():
        np.testing.assert_allclose(pair.b @ pair.a, 0, atol=1e-5)
    assert stacked([]) == {}
