"""Axial slices of NIfTI volumes, drawn as radiologists look at them.

Arrays here are [level, row, column]: level 0 is the lowest slice, row 0 the front of the patient
and column 0 the patient's right. The affine matrix of each file tells which way its voxels run.
"""

import io
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedvlm_flwr.errors import ConfigError, DataError

T = TypeVar("T")


def shape_of(path: Path) -> tuple[int, int, int]:
    """Levels, rows and columns of a volume, of which only the head is read.

    Raises:
        ConfigError: nibabel is not installed.
        DataError: the file is missing, is no NIfTI file, or is not three-dimensional.
    """

    def shape(image: Any, order: Any) -> tuple[int, int, int]:
        axes = [int(axis) for axis in order[:, 0]]
        right, front, up = (image.shape[axes.index(axis)] for axis in range(3))
        return up, front, right

    return _read(path, shape)


def mask_of(path: Path) -> NDArray[np.bool_]:
    """Where a mask is above 0: [level, row, column].

    Raises:
        ConfigError: nibabel is not installed.
        DataError: see `shape_of`.
    """
    return _read(path, lambda image, order: _turned(np.asanyarray(image.dataobj) > 0, order))


def png_of_slice(path: Path, level: int, low: float, high: float) -> bytes:
    """One slice of a volume as an 8-bit gray PNG, `low` and what is below black, `high` white.

    Raises:
        ConfigError: nibabel is not installed.
        DataError: see `shape_of`; or the slice holds a value that is no number.
    """
    if not path.is_file():
        raise _unreadable(path, "it is missing")
    values = _volume(path, path.stat().st_mtime_ns)[level]
    if not np.isfinite(values).all():
        raise _unreadable(path, f"slice {level} holds values that are no numbers")
    gray = np.clip((values - low) / (high - low), 0, 1) * 255
    file = io.BytesIO()
    Image.fromarray(gray.round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@lru_cache(maxsize=1)  # the slices of one volume are asked for one after the other
def _volume(path: Path, _changed: int) -> NDArray[np.float32]:
    def values(image: Any, order: Any) -> NDArray[np.float32]:
        return _turned(image.get_fdata(dtype=np.float32, caching="unchanged"), order)

    return _read(path, values)


def _read(path: Path, use: Callable[[Any, Any], T]) -> T:
    """What `use` makes of a three-dimensional image and its orientation."""
    nibabel = _nibabel()
    broken = (OSError, EOFError, ValueError, zlib.error, nibabel.spatialimages.HeaderDataError)
    try:
        image = nibabel.load(path)
        order = nibabel.io_orientation(image.affine)
        if len(image.shape) != 3 or np.isnan(order).any():
            raise _unreadable(
                path, f"its shape {image.shape} or its affine matrix is not of 3 axes"
            )
        return use(image, order)
    except (*broken, nibabel.filebasedimages.ImageFileError) as error:
        raise _unreadable(path, str(error)) from error


def _turned(values: NDArray[Any], order: Any) -> NDArray[Any]:
    # from here on the axes run to the right, the front and the top
    canonical: NDArray[Any] = _nibabel().apply_orientation(values, order)
    return canonical[::-1, ::-1].transpose(2, 1, 0)


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(f"The volume {path} cannot be read ({why}); download it again.")


def _nibabel() -> ModuleType:
    try:
        import nibabel
    except ImportError as error:
        raise ConfigError(
            'CT volumes are read with nibabel; install it with pip install "fedvlm-flwr[nifti]".'
        ) from error
    return nibabel
