"""A tensor file that was changed, cut or exchanged is told."""

import numpy as np
import pytest

from fedvlm_flwr.tensor_files import DamagedFile, load_tensors, save_tensors

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(1.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
}
FACTS = {"client": 3, "round": 4}


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "folder" / "file.safetensors"
    save_tensors(place, ARRAYS, FACTS)
    return place


def test_round_trip(path):
    arrays = load_tensors(path, dict(reversed(FACTS.items())))
    assert arrays.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], values)
        assert arrays[name].dtype == values.dtype and arrays[name].shape == values.shape


def test_every_flipped_bit_is_noticed(path):
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            arrays = load_tensors(path, FACTS)
        except DamagedFile:
            continue
        # Blanks of the header may change, nothing that they tell may.
        assert all(np.array_equal(arrays[name], values) for name, values in ARRAYS.items()), place


@pytest.mark.parametrize("damage", [b"", b"{}", b"\x00" * 100])
def test_what_is_no_tensor_file_is_told(path, damage):
    path.write_bytes(damage)
    with pytest.raises(DamagedFile, match="cannot be read"):
        load_tensors(path, FACTS)


def test_a_tail_of_zeros_and_a_cut_file_are_told(path):
    whole = path.read_bytes()
    for changed in (whole[:-8] + b"\x00" * 8, whole[:-8], whole + b"\x00" * 8):
        path.write_bytes(changed)
        with pytest.raises(DamagedFile):
            load_tensors(path, FACTS)


def test_another_ones_file_is_told(path):
    with pytest.raises(DamagedFile, match=r'"client": 3.* and not of .*"client": 0'):
        load_tensors(path, {**FACTS, "client": 0})
    path.unlink()
    with pytest.raises(DamagedFile, match="cannot be read"):
        load_tensors(path, FACTS)
