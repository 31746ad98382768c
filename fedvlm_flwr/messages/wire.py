"""The wire format: named float arrays <-> Flower's `ArrayRecord`, and what a message weighs.

A record holds one array, the bytes of a safetensors file: Flower pays for every array of a message
(about 20 ms of a SuperLink's CPU, there and back), whatever it weighs.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from numpy.typing import NDArray
from safetensors.numpy import load, save

from fedvlm_flwr.arrays import Arrays

BFLOAT16 = "bfloat16"
PACKED = "packed"  # the name of a record's one array
FORMAT = "safetensors"
METADATA = "__metadata__"  # what a safetensors header may hold beside the arrays
HEADER_BYTES = 256  # an upper bound on what one array adds to its numbers: name, shape, place
NUMBERS = {"float32": np.dtype(np.float32), BFLOAT16: np.dtype(np.uint16)}


def pack(arrays: Mapping[str, NDArray[np.float32]], dtype: str = "float32") -> ArrayRecord:
    """Arrays as a record, in the wire dtype; a record without arrays is empty.

    bfloat16 travels as the uint16 of its bits, since NumPy has no such type, with `bfloat16`
    recorded as the array's dtype. Rounding is to nearest even.
    """
    if not arrays:
        return ArrayRecord()
    numbers: dict[str, NDArray[Any]] = {
        name: to_bfloat16(values)
        if dtype == BFLOAT16
        else np.array(values, dtype=np.float32, order="C", copy=None)
        for name, values in arrays.items()
    }
    data = save(numbers)
    return ArrayRecord({PACKED: Array(dtype=dtype, shape=(len(data),), stype=FORMAT, data=data)})


def unpack(record: ArrayRecord) -> Arrays:
    """The arrays of a record by name, float32, whatever the wire dtype.

    Raises:
        ValueError: it holds anything but one array of safetensors' bytes, or these are broken, or
            a tensor is not of the type that is recorded.
    """
    if not record:
        return {}
    if odd := [name for name in record if name != PACKED]:
        raise ValueError(f"it holds the array '{odd[0][:80]}' and not '{PACKED}' alone")
    packed = record[PACKED]
    if packed.dtype not in NUMBERS:
        raise ValueError(f"'{PACKED}' is of '{packed.dtype[:80]}', not of {' or '.join(NUMBERS)}")
    try:
        tensors = load(packed.data)
    except Exception as error:  # whatever a stranger's bytes set off, it is their fault
        raise ValueError(f"'{PACKED}' is not in the form of {FORMAT} ({error})") from error
    for name, numbers in tensors.items():
        if numbers.dtype != NUMBERS[packed.dtype]:
            raise ValueError(f"array '{name}' is {packed.dtype} but comes as {numbers.dtype}")
    if packed.dtype == BFLOAT16:
        return {name: from_bfloat16(tensors[name]) for name in sorted(tensors)}
    # a copy: the bytes of a message cannot be written to
    return {name: np.array(tensors[name], dtype=np.float32) for name in sorted(tensors)}


def array_names(record: ArrayRecord) -> list[str]:
    """The names of a record's arrays, by the header alone; Flower's where they are not packed."""
    try:
        data = record[PACKED].data
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (KeyError, ValueError, RecursionError):
        return sorted(record)
    names = sorted(header) if isinstance(header, dict) else []
    return [name for name in names if name != METADATA] or sorted(record)


def packed_bytes(shapes: Mapping[str, tuple[int, ...]], dtype: str) -> int:
    """What a record of such arrays weighs (`payload_bytes`), without making it.

    Args:
        dtype: the wire dtype.
    """
    if not shapes:
        return 0
    word, width = ("U16", 2) if dtype == BFLOAT16 else ("F32", 4)
    end, header = 0, 1  # the opening bracket; each entry ends with a comma, the last with the other
    for name, shape in sorted(shapes.items()):
        begin, end = end, end + width * math.prod(shape)
        place = f'"shape":[{",".join(map(str, shape))}],"data_offsets":[{begin},{end}]'
        header += len(f'"{name}":{{"dtype":"{word}",{place}}},'.encode())
    return len(PACKED) + 8 + -(-header // 8) * 8 + end


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32's bits, rounded to nearest even; NaN stays NaN."""
    bits = np.array(values, dtype=np.float32, order="C").view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 values of bfloat16 bits (exact)."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def payload_bytes(content: RecordDict) -> int:
    """Bytes that the records of a message hold: arrays with their header, metrics, config."""
    return sum(record.count_bytes() for record in content.values())
