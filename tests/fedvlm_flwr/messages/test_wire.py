"""The wire format."""

import copy
import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from safetensors.numpy import save

from fedvlm_flwr.messages.numbers import from_bfloat16, to_bfloat16
from fedvlm_flwr.messages.wire import (
    HEADER_BYTES,
    array_names,
    pack,
    packed_bytes,
    payload_bytes,
    unpack,
)

SPECIAL = np.array(
    [
        *(0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan),
        *(1e-45, -1e-45, 1e-40, 1.1754942e-38, 1.17549435e-38),  # subnormal, and the least normal
        *(3.4028235e38, -3.4028235e38, 3.3895314e38),  # the greatest float32 rounds up to inf
        *(1.00390625, 1.01171875),  # halfway between two bfloat16: to the even one, down and up
    ],
    dtype=np.float32,
)


def torch_bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    return result


def saved(values: NDArray[np.generic], allow_pickle: bool = False) -> bytes:
    buffer = BytesIO()
    np.save(buffer, values, allow_pickle=allow_pickle)
    return buffer.getvalue()


def record_of(data: bytes, dtype: str = "float32", name: str = "packed") -> ArrayRecord:
    packed = Array(dtype=dtype, shape=(len(data),), stype="safetensors", data=data)
    return ArrayRecord({name: packed})


float32_arrays = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    elements=st.floats(width=32),
)


@settings(deadline=None, max_examples=50)
@given(float32_arrays)
def test_float32_is_exact(values: NDArray[np.float32]) -> None:
    back = unpack(pack({"connector.w": values}))["connector.w"]
    assert back.dtype == np.float32
    assert back.shape == values.shape
    np.testing.assert_array_equal(back, values)


@settings(deadline=None, max_examples=100)
@given(hnp.arrays(np.uint32, 64, elements=st.integers(0, 2**32 - 1)))
def test_bfloat16_rounds_as_torch_does(bits: NDArray[np.uint32]) -> None:
    values = bits.view(np.float32)  # any bit pattern: subnormal numbers and every NaN among them
    back = unpack(pack({"w": values}, "bfloat16"))["w"]
    np.testing.assert_array_equal(back, torch_bfloat16(values))


def test_bfloat16_of_special_values() -> None:
    back = unpack(pack({"w": SPECIAL}, "bfloat16"))["w"]
    np.testing.assert_array_equal(back, torch_bfloat16(SPECIAL))
    np.testing.assert_array_equal(np.signbit(back[:2]), [False, True])
    assert np.isnan(back[6])
    assert np.isposinf(back[12])
    np.testing.assert_array_equal(back[-2:], np.array([1.0, 1.015625], np.float32))


def test_bfloat16_bits_by_hand() -> None:
    values = np.array([1.0, -2.0, 0.15625], np.float32)
    np.testing.assert_array_equal(to_bfloat16(values), [0x3F80, 0xC000, 0x3E20])
    np.testing.assert_array_equal(
        from_bfloat16(np.array([0x3F80, 0xC000, 0x3E20], np.uint16)), values
    )


def test_bfloat16_keeps_shapes() -> None:
    arrays = {"a": np.array(3.5, np.float32), "b": np.ones((2, 3, 4), np.float32).T}
    back = unpack(pack(arrays, "bfloat16"))
    assert {name: values.shape for name, values in back.items()} == {"a": (), "b": (4, 3, 2)}


def test_packing_twice_changes_nothing_more() -> None:
    once = unpack(pack({"w": SPECIAL}, "bfloat16"))
    np.testing.assert_array_equal(unpack(pack(once, "bfloat16"))["w"], once["w"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_dtype_is_recorded(dtype: str) -> None:
    assert pack({"w": SPECIAL}, dtype)["packed"].dtype == dtype


def test_names_are_kept_and_come_in_order() -> None:
    arrays = {name: np.zeros(1, np.float32) for name in ("llm.b", "connector.ä", "llm.a")}
    assert list(unpack(pack(arrays))) == ["connector.ä", "llm.a", "llm.b"]


def test_a_record_is_one_array_whatever_it_holds() -> None:
    arrays = {f"llm.{i}": np.zeros(3, np.float32) for i in range(400)}
    assert len(pack(arrays)) == 1
    assert len(pack({})) == 0 and unpack(pack({})) == {}


def test_pickled_for_another_process_its_bytes_are_not_copied() -> None:
    """Ray takes buffers beside the pickle; whoever does not, gets all of it."""
    record = pack({"a": np.arange(5000, dtype=np.float32)})
    buffers: list[pickle.PickleBuffer] = []
    beside = pickle.dumps(record, protocol=5, buffer_callback=buffers.append)
    assert len(beside) < 1000 and [len(b.raw()) for b in buffers] == [len(record["packed"].data)]
    for protocol in range(2, 6):
        again = pickle.loads(pickle.dumps(record, protocol=protocol))
        assert again == record and type(again["packed"].data) is bytes
    assert pickle.loads(beside, buffers=[memoryview(b) for b in buffers]) == record
    assert copy.deepcopy(record) == record


def test_a_superlink_is_sent_flower_s_own_array() -> None:
    packed = pack({"a": np.arange(5, dtype=np.float32)})["packed"]
    own = Array(dtype=packed.dtype, shape=packed.shape, stype=packed.stype, data=packed.data)
    assert type(packed) is not Array
    assert packed.deflate() == own.deflate()


def test_it_is_what_safetensors_writes() -> None:
    arrays = {"b": np.ones((2, 3), np.float32), 'ä/"': np.float32([7]), "c": np.zeros((0, 4))}
    arrays = {name: np.asarray(values, np.float32) for name, values in arrays.items()}
    assert pack(arrays)["packed"].data == save(arrays)


def test_what_is_unpacked_can_be_written_to() -> None:
    for dtype in ("float32", "bfloat16", "int8"):
        back = unpack(pack({"w": SPECIAL}, dtype))["w"]
        back += 1


SHAPES = st.dictionaries(
    st.text("ab.ü_0", min_size=1, max_size=9),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=11),
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.sampled_from(["float32", "bfloat16", "int8"]))
def test_the_weight_is_known_before_anything_is_packed(
    shapes: dict[str, tuple[int, ...]], dtype: str
) -> None:
    record = pack({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, dtype)
    assert packed_bytes(shapes, dtype) == payload_bytes(RecordDict({"arrays": record}))


@pytest.mark.parametrize(("dtype", "width"), [("float32", 4), ("bfloat16", 2), ("int8", 1)])
def test_a_message_weighs_its_tensors_and_small_headers(dtype: str, width: int) -> None:
    shapes = {
        "connector.linear_1.weight": (100, 70),
        "llm.model.layers.31.self_attn.q_proj.lora_A": (8, 500),
        "llm.model.layers.31.mlp.down_proj.lora_B": (3,),
        "scalar": (),
    }
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    numbers = 7000 + 4000 + 3 + 1
    weight = payload_bytes(RecordDict({"arrays": pack(arrays, dtype)}))
    blocks = (70 * 4 + 8 * 16 + 1 + 1) if dtype == "int8" else 0  # of 32 along the longest side
    least = numbers * width + blocks
    assert least < weight <= least + len(arrays) * HEADER_BYTES * (2 if blocks else 1)


def test_metrics_and_config_are_weighed_too() -> None:
    arrays = pack({"w": SPECIAL})
    bare = payload_bytes(RecordDict({"arrays": arrays}))
    more = RecordDict(
        {
            "arrays": arrays,
            "metrics": MetricRecord({"loss": 1.0}),
            "config": ConfigRecord({"round": 3}),
        }
    )
    assert bare < payload_bytes(more) < bare + 100


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_pickled_objects_are_refused_and_never_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    objects = np.array([Trap(sprung)], dtype=object)
    for data in (saved(objects, allow_pickle=True), pickle.dumps(Trap(sprung))):
        for dtype in ("float32", "bfloat16", "object"):
            with pytest.raises(ValueError, match=r"."):
                unpack(record_of(data, dtype))
    assert not sprung.exists()


def npz() -> bytes:
    buffer = BytesIO()
    np.savez(buffer, a=np.ones(2, np.float32))
    return buffer.getvalue()


def whole(dtype: type[np.generic] = np.float32) -> bytes:
    data: bytes = save({"llm.x": np.ones(10, dtype)})
    return data


def endless() -> bytes:
    """A header that promises 4 * 10^12 bytes."""
    return whole().replace(b"[10]", b"[1000000000000]").replace(b"[0,40]", b"[0,4000000000000]")


GARBAGE = {
    "empty": b"",
    "noise": b"\x00\x01garbage" * 9,
    "length alone": whole()[:8],
    "header cut": whole()[:40],
    "numbers cut": whole()[:-3],
    "numbers too many": whole() + b"\x00",
    "numpy file": saved(SPECIAL),
    "zip file": npz(),
    "endless": endless(),
    "a length of 2^63": b"\xff" * 7 + b"\x7f" + b"{}",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_garbage_bytes_are_a_value_error(data: bytes, dtype: str) -> None:
    with pytest.raises(ValueError, match="not in the form of safetensors"):
        unpack(record_of(data, dtype))


@pytest.mark.parametrize("sent", [np.bool_, np.float64, np.int64, np.uint32, np.int16, np.float16])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_numbers_of_another_type_are_named(sent: type[np.generic], dtype: str) -> None:
    with pytest.raises(ValueError, match=rf"'llm\.x' is {dtype} but comes as"):
        unpack(record_of(whole(sent), dtype))


def test_a_type_that_does_not_travel_is_named() -> None:
    with pytest.raises(ValueError, match="'float64', not of float32 or bfloat16 or int8"):
        unpack(record_of(whole(np.float64), "float64"))


def test_arrays_beside_the_packed_one_are_named() -> None:
    more = record_of(whole())
    more["llm.y"] = Array(np.ones(2, np.float32))
    for record, name in ((more, "llm.y"), (record_of(whole(), name="llm.x"), "llm.x")):
        with pytest.raises(ValueError, match=f"holds the array '{name}' and not 'packed' alone"):
            unpack(record)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_names_of_arrays_are_read_without_the_arrays(dtype: str) -> None:
    arrays = {name: np.ones(2, np.float32) for name in ("llm.b", "llm.a")}
    assert array_names(pack(arrays, dtype)) == ["llm.a", "llm.b"]
    assert array_names(ArrayRecord()) == []
    assert array_names(ArrayRecord({"w": Array(np.ones(2, np.float32))})) == ["w"]


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_where_there_are_no_names_the_record_has_its_own(data: bytes) -> None:
    names = array_names(record_of(data))
    assert names and all(isinstance(name, str) for name in names)
