"""What clients keep from one message to the next: sent once, and again when it has changed."""

from collections.abc import Mapping
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


class PackedDeposits:
    """Deposits on their way to clients, packed once for all that lack the same ones.

    They travel in float32: once, and server and clients must hold the same.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[str, ...], ArrayRecord] = {}

    def lacking(
        self, deposits: Mapping[str, Deposit], numbers: Mapping[str, int]
    ) -> ArrayRecord | None:
        """The deposits that a client lacks, as `name/tensor`; None: it has them all.

        Args:
            numbers: of those that it has.
        """
        names = tuple(name for name, each in deposits.items() if numbers.get(name) != each.number)
        if names not in self._records:
            named = {f"{n}/{key}": v for n in names for key, v in deposits[n].arrays.items()}
            self._records[names] = pack(named)
        return self._records[names] if names else None
