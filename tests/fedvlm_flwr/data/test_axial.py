import io
import os
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fedvlm_flwr.data.axial import mask_of, png_of_slice, shape_of
from fedvlm_flwr.errors import ConfigError, DataError

RAS = np.diag([1.0, 1.0, 2.0, 1.0])
LPS = np.diag([-1.0, -1.0, 2.0, 1.0])
# Axes of a file that runs up, back and right: a sagittal stack.
SPR = np.array([[0, 0, 1, 0], [0, -1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=float)


def save(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def pixels(png: bytes) -> list[list[int]]:
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "L")
        rows: list[list[int]] = np.asarray(picture).tolist()
    return rows


def marked() -> NDArray[np.uint8]:
    """4 voxels to the right, 3 to the front, 2 up; marked is the left one at the front, on top."""
    values = np.zeros((4, 3, 2), np.uint8)
    values[0, 2, 1] = 1
    return values


@pytest.mark.parametrize(
    ("affine", "stored"),
    [
        (RAS, marked()),
        (LPS, marked()[::-1, ::-1]),
        (SPR, marked().transpose(2, 1, 0)[:, ::-1]),
    ],
)
def test_front_is_up_and_the_patients_left_is_on_the_right(
    affine: NDArray[np.float64], stored: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = save(tmp_path / "marked.nii.gz", stored, affine)
    assert shape_of(path) == (2, 3, 4)
    assert mask_of(path).astype(int).tolist() == [
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]],
    ]
    assert pixels(png_of_slice(path, 1, 0, 1)) == [[0, 0, 0, 255], [0] * 4, [0] * 4]
    assert pixels(png_of_slice(path, 0, 0, 1)) == [[0] * 4] * 3


def test_oblique_volumes_agree_with_nibabels_own_turning(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    tilted = np.array([[0.1, 0, -0.9, 5], [-1, 0.2, 0, 7], [0, 0.8, 0.1, 9], [0, 0, 0, 1]])
    path = save(tmp_path / "tilted.nii.gz", values, tilted)
    canonical = np.asanyarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)
    right, front, up = canonical.shape
    assert shape_of(path) == (up, front, right)
    for level in range(up):
        slice_ = [
            [int(canonical[right - 1 - column, front - 1 - row, level]) for column in range(right)]
            for row in range(front)
        ]
        assert pixels(png_of_slice(path, level, 0, 255)) == slice_


def test_a_window_maps_hounsfield_units_to_grey(tmp_path: Path) -> None:
    values = np.array([[[-3000], [-100], [0], [50], [100], [3000]]], np.int16)
    path = save(tmp_path / "ct.nii.gz", values, LPS)
    assert pixels(png_of_slice(path, 0, -100, 100)) == [[0], [0], [128], [191], [255], [255]]


def test_a_files_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.array([[[-1000.0], [-500.0], [0.0]]]), LPS)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    stored = nibabel.load(tmp_path / "ct.nii.gz").dataobj
    assert abs(stored.slope - 1000 / 65535) < 1e-6
    assert pixels(png_of_slice(tmp_path / "ct.nii.gz", 0, -1000, 0)) == [[0], [128], [255]]


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = save(tmp_path / "ct.nii.gz", np.zeros((1, 1, 1), np.int16), RAS)
    assert pixels(png_of_slice(path, 0, 0, 1)) == [[0]]
    save(path, np.ones((1, 1, 1), np.int16), RAS)
    os.utime(path, ns=(0, 10**9))
    assert pixels(png_of_slice(path, 0, 0, 1)) == [[255]]


def test_unreadable_volumes_are_errors_that_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    whole = save(
        path, np.random.default_rng(0).integers(0, 9, (9, 9, 9), np.uint8), RAS
    ).read_bytes()
    for data in (b"", b"no gzip", whole[:-200], whole[:30] + bytes(60) + whole[90:]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"The volume {path} cannot be read .*download it"):
            mask_of(path)
    path.unlink()
    for use in (mask_of, shape_of, lambda missing: png_of_slice(missing, 0, 0, 1)):
        with pytest.raises(DataError, match=f"The volume {path} cannot be read"):
            use(path)


def test_other_shapes_and_numbers_are_refused(tmp_path: Path) -> None:
    four = save(tmp_path / "four.nii.gz", np.zeros((2, 2, 2, 2), np.uint8), RAS)
    flat = save(tmp_path / "flat.nii", np.zeros((2, 2, 2), np.uint8), RAS)
    data = bytearray(flat.read_bytes())
    data[252:254] = bytes(2)  # no quaternion; what follows is the matrix's second row
    data[296:312] = bytes(16)
    flat.write_bytes(data)
    for path in (four, flat):
        with pytest.raises(DataError, match=f"{path} cannot be read .*not of 3 axes"):
            shape_of(path)
    nothing = np.full((2, 2, 2), np.nan, np.float32)
    path = save(tmp_path / "nothing.nii.gz", nothing, RAS)
    with pytest.raises(DataError, match="slice 1 holds values that are no numbers"):
        png_of_slice(path, 1, 0, 1)


def test_without_nibabel_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "ct.nii.gz", marked(), RAS)
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ConfigError, match=r'pip install "fedvlm-flwr\[nifti\]"'):
        shape_of(path)
