"""The number formats of tensors in messages: float32, and short ones to which they are rounded."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fedvlm_flwr.arrays import Arrays, float32

BLOCK = 32  # numbers that share an exponent, as in the MX formats
EXPONENTS = "@exponents"
LARGEST = 127  # of the numbers in a block
NOT_FINITE, LEAST = 127, -128  # exponents: of a block with NaN or infinity in it; of zeros

Layout = dict[str, tuple[str, tuple[int, ...]]]


class Float32:
    """A format in which tensors are stored in a safetensors file: as they are.

    Attributes:
        kind: NumPy's type of the tensors, of which safetensors says `word`.
    """

    kind: ClassVar[np.dtype[Any]] = np.dtype(np.float32)
    word: ClassVar[str] = "F32"

    def encode(
        self, name: str, values: NDArray[np.float32], draw: Generator | None
    ) -> dict[str, NDArray[Any]]:
        """A tensor in this format.

        Args:
            draw: of what is rounded at random; None: to nearest.
        """
        return {name: np.array(values, dtype=np.float32, order="C", copy=None)}

    def decode(self, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
        """Tensors from this format.

        Raises:
            ValueError: they are not of it.
        """
        return {name: np.asarray(values, np.float32) for name, values in tensors.items()}

    def layout(self, name: str, shape: tuple[int, ...]) -> Layout:
        """The words and shapes of what a tensor becomes."""
        return {name: (self.word, shape)}


class BFloat16(Float32):
    """The upper half of a float32's bits, rounded to nearest even; two bytes a number.

    They travel as uint16, since NumPy has no such type.
    """

    kind = np.dtype(np.uint16)
    word = "U16"

    def encode(
        self, name: str, values: NDArray[np.float32], draw: Generator | None
    ) -> dict[str, NDArray[Any]]:
        """A tensor's bits."""
        return {name: to_bfloat16(values)}

    def decode(self, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
        """The numbers of such bits (exact)."""
        return {name: from_bfloat16(bits) for name, bits in tensors.items()}


class Int8(Float32):
    """Blocks of 32 integers from -127 to 127 with a power of two each; 1.03 bytes a number.

    The form of MXINT8 (OCP Microscaling Formats 1.0), rounded at random so that no number is
    rounded to one side (Alistarh et al. 2017, QSGD, arXiv 1610.02132). Blocks lie along a tensor's
    longest side, so that a factor of an adapter cut to a lower rank has the blocks that it had.
    Powers of two make it exact to encode anew what was decoded.
    """

    kind = np.dtype(np.int8)
    word = "I8"

    def encode(
        self, name: str, values: NDArray[np.float32], draw: Generator | None
    ) -> dict[str, NDArray[Any]]:
        """A tensor's integers, in its own shape, and the exponents of its blocks."""
        blocks = _blocks(values)
        most = np.abs(blocks).max(axis=-1, initial=0).astype(np.float64) / LARGEST
        finite = np.isfinite(most)
        mantissa, power = np.frexp(np.where(finite, most, 0))
        power = np.where(mantissa == 0.5, power - 1, power)  # the least 2^power >= most
        power = np.where(most == 0, LEAST, np.maximum(power, LEAST))
        scaled = np.ldexp(np.where(finite[..., None], blocks, 0), -power[..., None])
        lower = np.floor(scaled)
        if draw is None:
            integers = np.rint(scaled)
        else:
            integers = lower + (draw.random(scaled.shape) < scaled - lower)
        exponents = np.where(finite, power, NOT_FINITE).astype(np.int8)
        return {
            name: _unblocked(integers.astype(np.int8), values.shape),
            name + EXPONENTS: exponents,
        }

    def decode(self, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
        """The numbers."""
        result = {}
        for name, integers in tensors.items():
            if name.endswith(EXPONENTS):
                continue
            exponents = tensors.get(name + EXPONENTS)
            if exponents is None or exponents.shape != _exponents_shape(integers.shape):
                raise ValueError(f"the exponents of '{name}' are missing or of another shape")
            powers = exponents.astype(np.int32)[..., None]
            numbers = np.ldexp(_blocks(integers).astype(np.float32), powers)
            numbers = np.where(powers == NOT_FINITE, np.float32(np.nan), numbers)
            result[name] = _unblocked(float32(numbers), integers.shape)
        if len(result) * 2 != len(tensors):
            raise ValueError("it holds exponents of no tensor")
        return result

    def layout(self, name: str, shape: tuple[int, ...]) -> Layout:
        """The tensor's, and that of its exponents."""
        exponents = (self.word, _exponents_shape(shape))
        return {name: (self.word, shape), name + EXPONENTS: exponents}


FORMATS: dict[str, Float32] = {"float32": Float32(), "bfloat16": BFloat16(), "int8": Int8()}


def _rows_first(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """The longest side, and the shape with it behind the others."""
    whole = shape or (1,)
    axis = whole.index(max(whole))
    return axis, (*whole[:axis], *whole[axis + 1 :], whole[axis])


def _blocks(values: NDArray[Any]) -> NDArray[Any]:
    """A tensor's blocks, filled with zeros where it ends: [..., blocks, 32]."""
    axis, shape = _rows_first(values.shape)
    rows = np.moveaxis(values.reshape(values.shape or (1,)), axis, -1)
    filled = np.zeros((*shape[:-1], -(-shape[-1] // BLOCK) * BLOCK), values.dtype)
    filled[..., : shape[-1]] = rows
    return filled.reshape(*shape[:-1], filled.shape[-1] // BLOCK, BLOCK)


def _unblocked(blocks: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The tensor of such a shape whose blocks they are."""
    axis, moved = _rows_first(shape)
    rows = blocks.reshape(*moved[:-1], math.prod(blocks.shape[-2:]))[..., : moved[-1]]
    return np.ascontiguousarray(np.moveaxis(rows, -1, axis)).reshape(shape)


def _exponents_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    _, moved = _rows_first(shape)
    return (*moved[:-1], -(-moved[-1] // BLOCK))


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32's bits, rounded to nearest even; NaN stays NaN."""
    bits = np.array(values, dtype=np.float32, order="C").view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 values of bfloat16 bits (exact)."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
