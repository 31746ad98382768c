"""How many bytes of tensors are alive while code runs, whatever device they pretend to lie on."""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that counts the storages made inside it; views of a storage count once.

    Args:
        background: tensors that are there already and do not count.

    Attributes:
        now: bytes alive.
        peak: the most that were alive at any moment.
    """

    def __init__(self, background: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._background = [tensor.untyped_storage() for tensor in background]
        self._ids = {id(storage) for storage in self._background}
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation and take in what it made."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._take(value.untyped_storage())
        return result

    def _take(self, storage: torch.UntypedStorage) -> None:
        if id(storage) in self._ids:
            return
        self._ids.add(id(storage))
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, id(storage), storage.nbytes())

    def _gone(self, key: int, size: int) -> None:
        self._ids.discard(key)
        self.now -= size


class SavedTensors:
    """A hook for `saved_tensors_hooks`: what waits for the backward pass, each storage once.

    Args:
        background: tensors that do not count: weights are there anyhow.
    """

    def __init__(self, background: Iterable[Tensor]) -> None:
        self._background = [tensor.untyped_storage() for tensor in background]
        self._ids = {id(storage) for storage in self._background}
        self._storages: list[torch.UntypedStorage] = []

    @property
    def bytes(self) -> int:
        """What has been kept so far."""
        return sum(storage.nbytes() for storage in self._storages)

    def pack(self, tensor: Tensor) -> Tensor:
        """Take in a saved tensor, as it is."""
        storage = tensor.untyped_storage()
        if id(storage) not in self._ids:
            self._ids.add(id(storage))
            self._storages.append(storage)
        return tensor

    def forget(self) -> None:
        """Let go of the storages, so that the backward pass frees them as it does in earnest."""
        self._storages.clear()
