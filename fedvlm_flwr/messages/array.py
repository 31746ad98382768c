"""Flower's array, which Ray carries from process to process with fewer copies."""

from pickle import PickleBuffer
from typing import Any, SupportsIndex

import numpy as np
from flwr.app import Array as FlowerArray


class Array(FlowerArray):
    """One whose bytes are pickled out of band (PEP 574), and so put into Ray's memory as they are.

    It is named as Flower's: a SuperLink is sent the class's name with the content, and knows no
    other. There it arrives as Flower's own.
    """

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """How it is pickled: from protocol 5 on its bytes beside the rest."""
        if int(protocol) < 5:
            return _array, (self.dtype, self.shape, self.stype, bytes(self.data))
        return _array, (self.dtype, self.shape, self.stype, PickleBuffer(self.data))


def _array(dtype: str, shape: tuple[int, ...], stype: str, data: Any) -> Array:
    """An array out of its pickle.

    Where its bytes come as NumPy's, as our own engine hands them out, they stay where they lie.
    """
    if not isinstance(data, np.ndarray):
        return Array(dtype=dtype, shape=shape, stype=stype, data=bytes(data))
    array = Array(dtype=dtype, shape=shape, stype=stype, data=b"")
    array.data = data.data  # type: ignore[assignment]  # it is read as bytes are
    return array
