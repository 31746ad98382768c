"""Short number formats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from safetensors.numpy import save

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages.numbers import EXPONENTS, Int8
from fedvlm_flwr.messages.wire import pack, rounded, unpack
from tests.fedvlm_flwr.messages.test_wire import record_of

any_arrays = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=70),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=True),
)


def through(values: NDArray[np.float32], draw: int | None = None) -> NDArray[np.float32]:
    generator = None if draw is None else np.random.default_rng(draw)
    return unpack(pack({"w": values}, "int8", generator))["w"]


@settings(deadline=None, max_examples=100)
@given(any_arrays)
def test_what_was_read_is_sent_again_without_loss(values: NDArray[np.float32]) -> None:
    once = through(values, 1)
    assert once.shape == values.shape and once.dtype == np.float32
    np.testing.assert_array_equal(through(once, 2), once)
    np.testing.assert_array_equal(through(once), once)


@settings(deadline=None, max_examples=100)
@given(any_arrays)
def test_no_number_is_further_than_a_step_of_its_block(values: NDArray[np.float32]) -> None:
    """A step is the least power of two that is 1/127 of the largest number at least."""
    most = float(np.abs(values).max(initial=0))
    step = 2.0 ** np.ceil(np.log2(most / 127)) if most > 0 else 0.0
    assert np.abs(through(values, 3) - values).max(initial=0) <= max(step, 2.0**-128)
    assert np.abs(through(values) - values).max(initial=0) <= max(step, 2.0**-128) / 2


def test_integers_and_exponents_by_hand() -> None:
    values = np.zeros(40, np.float32)
    values[:3] = [127, -2, 0.25]  # 127 = 127 * 2^0
    values[32:34] = [0.5, 0.25]  # 0.5 = 64 * 2^-7
    tensors = Int8().encode("w", values, None)
    assert tensors["w"][:3].tolist() == [127, -2, 0]
    assert tensors["w"][32:34].tolist() == [64, 32]
    assert tensors["w" + EXPONENTS].tolist() == [0, -7]


def test_rounding_at_random_has_no_side() -> None:
    values = np.full(40_000, 0.3, np.float32)
    values[::32] = 127  # steps of 1
    small = np.arange(40_000) % 32 != 0
    read = through(values, 0)[small]
    assert set(np.unique(read)) == {0.0, 1.0}
    assert read.mean() == pytest.approx(0.3, abs=0.01)
    assert not through(values)[small].any()


def test_a_factor_cut_to_a_lower_rank_is_read_as_before() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=s).astype(np.float32) for s in ((8, 100), (90, 8)))
    for read, cut in ((through(a, 1), np.s_[:3]), (through(b, 1), np.s_[:, :3])):
        np.testing.assert_array_equal(through(read[cut], 2), read[cut])


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_comes_as_nan(odd: float) -> None:
    values = np.ones(64, np.float32)
    values[3] = odd
    read = through(values)
    assert np.isnan(read[:32]).all() and (read[32:] == 1).all()


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"w": np.ones(40, np.int8)}, "exponents of 'w' are missing"),
        ({"w": np.ones(40, np.int8), "w" + EXPONENTS: np.ones(1, np.int8)}, "of another shape"),
        ({"v" + EXPONENTS: np.ones(1, np.int8)}, "exponents of no tensor"),
    ],
)
def test_exponents_that_do_not_belong_are_refused(tensors: Arrays, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        unpack(record_of(save(tensors), "int8"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_sender_knows_what_is_read(dtype: str) -> None:
    values = {"w": np.linspace(-1, 1, 100, dtype=np.float32)}
    sent = rounded(values, dtype, np.random.default_rng(0))
    np.testing.assert_array_equal(unpack(pack(sent, dtype))["w"], sent["w"])
    assert (dtype == "float32") == np.array_equal(sent["w"], values["w"])
