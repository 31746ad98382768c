"""The wire format: named float arrays <-> Flower's `ArrayRecord`, and what a message weighs.

A record holds one array, the bytes of a safetensors file: Flower pays for every array of a message
(about 20 ms of a SuperLink's CPU, there and back), whatever it weighs.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, RecordDict
from numpy.random import Generator
from numpy.typing import NDArray

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages.array import Array
from fedvlm_flwr.messages.numbers import EXPONENTS, FORMATS, Float32, Layout
from fedvlm_flwr.messages.tensor_bytes import METADATA, read_tensors

FLOAT32 = "float32"
PACKED = "packed"  # the name of a record's one array
FORMAT = "safetensors"
HEADER_BYTES = 256  # an upper bound on what one array adds to its numbers: name, shape, place


def pack(
    arrays: Mapping[str, NDArray[np.float32]],
    dtype: str = FLOAT32,
    draw: Generator | None = None,
) -> ArrayRecord:
    """Arrays as a record, in the wire dtype; a record without arrays is empty.

    Args:
        dtype: one of `FORMATS`, recorded as the array's.
        draw: see `FORMATS`' `encode`.
    """
    if not arrays:
        return ArrayRecord()
    form = FORMATS[dtype]
    numbers: dict[str, NDArray[Any]] = {}
    for name, values in arrays.items():
        numbers |= form.encode(name, values, draw)
    shapes = {name: values.shape for name, values in arrays.items()}
    ordered = [values for _, values in sorted(numbers.items())]
    # joined here and not by `safetensors.numpy.save`, which makes two copies of all numbers
    little: list[Any] = [v.astype(v.dtype.newbyteorder("<"), copy=False) for v in ordered]
    data = b"".join([_header(shapes, form), *little])
    record = ArrayRecord()  # made of a mapping it would hold a copy, of Flower's own class
    record[PACKED] = Array(dtype=dtype, shape=(len(data),), stype=FORMAT, data=data)
    return record


def unpack(record: ArrayRecord, own: bool = True) -> Arrays:
    """The arrays of a record by name, float32, whatever the wire dtype.

    Args:
        own: in memory of their own; else some may lie in the record, where nothing can be written.

    Raises:
        ValueError: it holds anything but one array of safetensors' bytes, or these are broken, or
            a tensor is not of the type that is recorded.
    """
    if not record:
        return {}
    if odd := [name for name in record if name != PACKED]:
        raise ValueError(f"it holds the array '{odd[0][:80]}' and not '{PACKED}' alone")
    packed = record[PACKED]
    if packed.dtype not in FORMATS:
        raise ValueError(f"'{PACKED}' is of '{packed.dtype[:80]}', not of {' or '.join(FORMATS)}")
    try:
        tensors = read_tensors(packed.data)
    except ValueError as error:
        raise ValueError(f"'{PACKED}' is not in the form of {FORMAT} ({error})") from error
    form = FORMATS[packed.dtype]
    for name, numbers in tensors.items():
        if numbers.dtype != form.kind:
            raise ValueError(f"array '{name}' is {packed.dtype} but comes as {numbers.dtype}")
    arrays = form.decode({name: tensors[name] for name in sorted(tensors)})
    return (
        {name: np.require(values, requirements="W") for name, values in arrays.items()}
        if own
        else arrays
    )


def rounded(arrays: Arrays, dtype: str, draw: Generator | None) -> Arrays:
    """What is read of arrays that are sent in the wire dtype; sent again, it stays as it is."""
    return unpack(pack(arrays, dtype, draw))


def array_names(record: ArrayRecord) -> list[str]:
    """The names of a record's arrays, by the header alone; Flower's where they are not packed."""
    try:
        data = record[PACKED].data
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (KeyError, ValueError, RecursionError):
        return sorted(record)
    names = sorted(header) if isinstance(header, dict) else []
    named = [name for name in names if name != METADATA and not name.endswith(EXPONENTS)]
    return named or sorted(record)


def packed_bytes(shapes: Mapping[str, tuple[int, ...]], dtype: str) -> int:
    """What a record of such arrays weighs (`payload_bytes`), without making it.

    Args:
        dtype: the wire dtype.
    """
    if not shapes:
        return 0
    form = FORMATS[dtype]
    sizes = (math.prod(shape) for _, shape in _layout(shapes, form).values())
    return len(PACKED) + len(_header(shapes, form)) + form.kind.itemsize * sum(sizes)


def _layout(shapes: Mapping[str, tuple[int, ...]], form: Float32) -> Layout:
    """The words and shapes of what a record's arrays become, in the order of a file."""
    parts = (item for name, shape in shapes.items() for item in form.layout(name, shape).items())
    return dict(sorted(parts))


def _header(shapes: Mapping[str, tuple[int, ...]], form: Float32) -> bytes:
    """How a safetensors file of such arrays begins: its length, names and places, filled to 8."""
    end, entries = 0, {}
    for name, (word, shape) in _layout(shapes, form).items():
        begin, end = end, end + form.kind.itemsize * math.prod(shape)
        entries[name] = {"dtype": word, "shape": shape, "data_offsets": (begin, end)}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def payload_bytes(content: RecordDict) -> int:
    """Bytes that the records of a message hold: arrays with their header, metrics, config."""
    return sum(record.count_bytes() for record in content.values())
