"""What clients keep from one message to the next: sent once, and again when it has changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flwr.app import ArrayRecord

from fedvlm_flwr.adapters import PREVIOUS, is_residual
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages.wire import pack


@dataclass(frozen=True)
class Deposit:
    """Arrays that a client keeps on its disk: they travel once, and again when they change.

    Attributes:
        number: grows whenever the arrays have changed.
        arrays: by name; one at least.
    """

    number: int
    arrays: Arrays


def standing(deposits: Mapping[str, Deposit]) -> set[str]:
    """The shared tensors among deposits, which no message needs to hold."""
    own = (d for name, d in deposits.items() if name != PREVIOUS and not is_residual(name))
    return {name for deposit in own for name in deposit.arrays}


class Packed:
    """Records that several clients are sent, packed once each.

    Args:
        dtype: the wire dtype.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._shared: dict[int | None, ArrayRecord] = {}
        self._deposits: dict[tuple[str, ...], ArrayRecord] = {}

    def shared(self, rank: int | None, arrays: Callable[[], Arrays]) -> ArrayRecord:
        """The arrays that every client of a rank is sent, made for the first of them."""
        if rank not in self._shared:
            self._shared[rank] = pack(arrays(), self._dtype)
        return self._shared[rank]

    def deposits(
        self, deposits: Mapping[str, Deposit], numbers: Mapping[str, int]
    ) -> ArrayRecord | None:
        """The deposits that a client lacks, as `name/tensor`; None: it has them all.

        Args:
            numbers: of those that it has.
        """
        lacking = tuple(name for name, each in deposits.items() if numbers.get(name) != each.number)
        if lacking not in self._deposits:
            named = {f"{n}/{key}": v for n in lacking for key, v in deposits[n].arrays.items()}
            self._deposits[lacking] = pack(named, self._dtype)
        return self._deposits[lacking] if lacking else None
