"""Flower's array, which Ray carries from process to process with fewer copies."""

from pickle import PickleBuffer
from typing import Any, SupportsIndex

from flwr.app import Array as FlowerArray


class Array(FlowerArray):
    """One whose bytes are pickled out of band (PEP 574), and so put into Ray's memory as they are.

    It is named as Flower's: a SuperLink is sent the class's name with the content, and knows no
    other. There it arrives as Flower's own.
    """

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """How it is pickled: from protocol 5 on its bytes beside the rest."""
        if int(protocol) < 5:
            return super().__reduce_ex__(protocol)
        return _array, (self.dtype, self.shape, self.stype, PickleBuffer(self.data))


def _array(dtype: str, shape: tuple[int, ...], stype: str, data: bytes | memoryview) -> Array:
    """An array out of its pickle; its bytes may lie in memory that is Ray's."""
    return Array(dtype=dtype, shape=shape, stype=stype, data=bytes(data))
