"""Tensors read where they lie: what the safetensors library reads, and nothing that it refuses."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load, save

from fedvlm_flwr.messages.tensor_bytes import KINDS, read_tensors

tensors = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(sorted(KINDS.values(), key=str)).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
    ),
    max_size=4,
)


def file_of(header: Any, numbers: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def entry(begin: Any, end: Any, shape: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def require_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sorted(found) == sorted(expected)
    for name, values in found.items():
        assert values.dtype == expected[name].dtype and values.shape == expected[name].shape
        assert values.tobytes() == expected[name].tobytes()


@given(tensors, st.none() | st.dictionaries(st.text(max_size=4), st.text(max_size=4), min_size=1))
def test_what_the_library_writes_is_read(arrays, metadata):
    data = save(arrays, metadata)
    for each in (data, memoryview(data), memoryview(bytearray(data))):
        require_equal(read_tensors(each), arrays)


@given(tensors.map(save), st.data())
def test_what_it_does_not_read_is_not_read(data, draw):
    """Files with a byte changed, left out or put in: most often in the header."""
    places = st.integers(0, len(data) - 1)
    at, by = draw.draw(places), draw.draw(st.binary(max_size=2))
    broken = data[:at] + by + data[at + draw.draw(st.integers(0, 2)) :]
    try:
        found = read_tensors(broken)
    except ValueError:
        return
    require_equal(found, load(broken))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not whole"),
        (b"\xff" * 16, "not whole"),
        (file_of({})[:-1], "not whole"),
        (file_of([1]), "no mapping"),
        (file_of(b"[" * 100_000), "nested"),
        (file_of(b'{"a":' * 50_000), "nested"),
        (file_of({"a": 1}), "no type, shape and place"),
        (file_of({"a": entry(0, 4, [1], "BF16")}, bytes(4)), "no type"),
        (file_of({"a": entry(0, 4, [1], ["F32"])}, bytes(4)), "no type"),
        (file_of({"a": entry(0, 4, 1)}, bytes(4)), "no type"),
        (file_of({"a": entry(0.0, 4, [1])}, bytes(4)), "another entry"),
        (file_of({"a": entry(0, 4, [True])}, bytes(4)), "another entry"),
        (file_of({"a": entry(0, 4, [-1, -1])}, bytes(4)), "another entry"),
        (file_of({"a": entry(0, 4, [1]) | {"more": 1}}, bytes(4)), "another entry"),
        (file_of({"a": entry(0, 4, [1] * 65)}, bytes(4)), "65 sides"),
        (file_of({"a": entry(0, 4, [2])}, bytes(4)), "length of its shape"),
        (file_of({"a": entry(4, 0, [1])}, bytes(4)), "length of its shape"),
        (file_of({"a": entry(0, 4, [1])}, bytes(5)), "behind the header"),
        (file_of({"a": entry(0, 4, [1])}, bytes(3)), "behind the header"),
        (file_of({"a": entry(4, 8, [1])}, bytes(8)), "behind the header"),
        (file_of({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, bytes(4)), "behind the header"),
        (file_of({}, bytes(1)), "behind the header"),
        (file_of({"__metadata__": {"a": 1}}), "does not hold texts"),
        (file_of(b'{"a": {}, "a": {}}'), "a name twice"),
    ],
)
def test_what_is_wrong_is_told(data, words):
    with pytest.raises(ValueError, match=words):
        read_tensors(data)


def test_nothing_is_copied_and_nothing_can_be_written():
    data = save({"a": np.arange(3, dtype=np.float32)})
    (values,) = read_tensors(data).values()
    assert np.shares_memory(values, np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1
