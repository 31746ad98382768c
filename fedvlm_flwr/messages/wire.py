"""The wire format: named float arrays <-> Flower's `ArrayRecord`, and what a message weighs."""

import math
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from numpy.typing import NDArray

from fedvlm_flwr.arrays import Arrays

BFLOAT16 = "bfloat16"
HEADER_BYTES = 256  # an upper bound on what one array adds to its numbers: NumPy's own header


def pack(arrays: Mapping[str, NDArray[np.float32]], dtype: str = "float32") -> ArrayRecord:
    """Arrays as a record, in the wire dtype.

    bfloat16 travels as the uint16 of its bits, since NumPy has no such type, with `bfloat16`
    recorded as the array's dtype. Rounding is to nearest even.
    """
    record = ArrayRecord()
    for name, values in arrays.items():
        numbers = to_bfloat16(values) if dtype == BFLOAT16 else values.astype(np.float32, order="C")
        array = Array(numbers)
        if dtype == BFLOAT16:
            array.dtype = BFLOAT16
        record[name] = array
    return record


def unpack(record: ArrayRecord) -> Arrays:
    """The arrays of a record, float32, whatever the wire dtype.

    Raises:
        ValueError: the bytes of an array are no NumPy array, or its dtype is no real number.
    """
    return {name: _read(name, array) for name, array in record.items()}


def _read(name: str, array: Array) -> NDArray[np.float32]:
    try:
        numbers = _parse(array.data)
    except Exception as error:  # whatever a stranger's bytes set off, it is this array's fault
        raise ValueError(f"array '{name}' is no NumPy array of numbers ({error})") from error
    if array.dtype == BFLOAT16:
        if numbers.dtype != np.uint16:
            raise ValueError(f"array '{name}' is bfloat16 but its bits come as {numbers.dtype}")
        return from_bfloat16(numbers)
    return numbers.astype(np.float32)  # a copy: the bytes of a message cannot be written to


def _parse(data: bytes) -> NDArray[Any]:
    """The array in NumPy's file format, without reserving what its header merely promises."""
    stream = BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read_header(stream)
    if dtype.kind not in "fiu":
        raise ValueError(f"its dtype is {dtype}")
    promised, available = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if min(shape, default=0) < 0 or promised != available:
        raise ValueError(f"its header promises {promised} bytes and {available} follow")
    flat = np.frombuffer(data, dtype=dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32's bits, rounded to nearest even; NaN stays NaN."""
    bits = np.array(values, dtype=np.float32, order="C").view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 values of bfloat16 bits (exact)."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def payload_bytes(content: RecordDict) -> int:
    """Bytes that the records of a message hold: every array with its header, metrics, config."""
    return sum(record.count_bytes() for record in content.values())
