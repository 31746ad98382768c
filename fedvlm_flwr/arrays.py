"""Named arrays: what is trained, shared and kept, as NumPy sees it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.float32]]


def float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """An array in the precision of `Arrays`."""
    return np.asarray(values, dtype=np.float32)


def section(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with `prefix`, named without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
