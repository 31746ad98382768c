"""The tensors in the bytes of a safetensors file, where they lie.

`safetensors.numpy.load` copies each of them; of what the clients of a round send, these copies cost
about as much as their sums. What is read here is what it reads, and no more than that is read.
"""

import json
import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("<i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("<u1"),
    "BOOL": np.dtype("?"),
}
METADATA = "__metadata__"  # what a header may hold beside the tensors: texts
LENGTH = 8  # bytes that say how long the header is
MOST_SIDES = 64  # of a shape, as NumPy has it
LONGEST_HEADER = 100_000_000  # bytes; safetensors reads no longer one
LONGEST_KNOWN = 100_000  # bytes of a header that is remembered: all clients of a round send one

Entry = tuple[np.dtype[Any], tuple[int, ...], int, int]


def read_tensors(data: bytes | memoryview) -> dict[str, NDArray[Any]]:
    """The tensors by name; they cannot be written to, and have the bytes live as long as they do.

    Raises:
        ValueError: these are no bytes of a safetensors file whose types NumPy has.
    """
    view = memoryview(data).cast("B").toreadonly()
    size = int.from_bytes(view[:LENGTH], "little")
    start = LENGTH + size
    if len(view) < LENGTH or size > LONGEST_HEADER or start > len(view):
        raise ValueError("its header is not whole")
    read = _known_entries if size <= LONGEST_KNOWN else _entries
    entries = read(bytes(view[LENGTH:start]), len(view) - start)
    return {
        name: np.frombuffer(view[start + begin : start + end], kind).reshape(shape)
        for name, (kind, shape, begin, end) in entries.items()
    }


def _entries(text: bytes, size: int) -> dict[str, Entry]:
    """What a header says of each tensor, with so many bytes behind it.

    Raises:
        ValueError: see `read_tensors`.
    """
    entries = {name: _entry(name, own) for name, own in _header(text).items()}
    _require_whole(entries, size)
    return entries


_known_entries = lru_cache(maxsize=16)(_entries)


def _header(text: bytes) -> dict[str, Any]:
    """A header as it stands there, but for the texts beside the tensors.

    Raises:
        ValueError: it is no JSON of the form.
    """
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("its header is nested") from error
    if not isinstance(header, dict):
        raise ValueError("its header is no mapping")
    texts = header.pop(METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(each, str) for each in texts.values()):
        raise ValueError(f"'{METADATA}' does not hold texts")
    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON in which no key stands twice."""
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("its header has a name twice")
    return mapping


def _entry(name: str, own: Any) -> Entry:
    """A tensor's type, shape and place.

    Raises:
        ValueError: it is not told, or the place is not as long as the shape needs.
    """
    try:
        kind, shape, (begin, end) = KINDS[own["dtype"]], own["shape"], own["data_offsets"]
        numbers = [*shape, begin, end]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"'{name[:80]}' has no type, shape and place") from error
    if len(own) != 3 or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"'{name[:80]}' has another entry than type, shape and place")
    if len(shape) > MOST_SIDES:
        raise ValueError(f"'{name[:80]}' has {len(shape)} sides")
    if end - begin != math.prod(shape) * kind.itemsize:
        raise ValueError(f"'{name[:80]}' has not the length of its shape")
    return kind, tuple(shape), begin, end


def _require_whole(entries: dict[str, Entry], size: int) -> None:
    """See that the tensors follow one another, from the first byte to the last.

    Raises:
        ValueError: they do not.
    """
    places = sorted((begin, end) for _, _, begin, end in entries.values())
    if any(a[1] != b[0] for a, b in pairwise([(0, 0), *places, (size, size)])):
        raise ValueError("its tensors are not what lies behind the header")
