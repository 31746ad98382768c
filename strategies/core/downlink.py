"""What travels down to clients: whole, or as the change from what they have."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord

from fedvlm_flwr.adapters import cut
from fedvlm_flwr.arrays import Arrays, float32, section
from fedvlm_flwr.messages.wire import FLOAT32, pack, rounded, unpack
from fedvlm_flwr.seeding import stream
from strategies.core.federation import Federation
from strategies.core.state import ServerState

PUBLISHED, NUMBER = "published", "number"  # a section of the state, and what is in it
SHARED, EXTRA = "shared/", "extra/"


class Downlink:
    """The shared tensors and the algorithm's own on their way to clients, packed once a kind.

    In float32 they travel whole. In a short number format the server remembers what clients hold
    (`published/` in its state) and sends the change from it, rounded; clients add it to what they
    have saved. What rounding has left out is in the next change, so that nothing is lost for good,
    and a step that is small beside the weights has all its digits. A client that does not hold the
    last published state, as before its first message, is sent the new one whole, in float32.
    """

    def __init__(self, federation: Federation) -> None:
        self._dtype = federation.wire_dtype
        self._place = federation.seed, federation.stage
        self._number = 0  # of the published state; 0: there is none
        self._changes: Arrays | None = None  # from the one before; None: not known
        self._extra: Arrays = {}
        self._records: dict[tuple[str, bool, int | None], ArrayRecord] = {}
        self._cuts: dict[int, bool] = {}  # by rank, whether a change is read as the server does

    @property
    def short(self) -> bool:
        """Whether changes travel."""
        return self._dtype != FLOAT32

    def publish(self, state: ServerState, extra: Arrays) -> None:
        """Have clients be sent what the server has now; once between two rounds it moves.

        Args:
            extra: what the algorithm sends beside the shared tensors.
        """
        self._records, self._cuts, self._extra = {}, {}, extra
        if self.short:
            self._advance(state)
        else:
            state.replace_section(PUBLISHED, {})

    def _advance(self, state: ServerState) -> None:
        number, before = state.number + 1, state.section(PUBLISHED)
        if int(before.pop(NUMBER, np.zeros(1))[0]) == number:
            if self._number != number:  # published by an earlier process
                self._number, self._changes = number, None
            return
        self._number, self._changes = number, None
        now = {SHARED + name: values for name, values in state.arrays.items()}
        now |= {EXTRA + name: values for name, values in self._extra.items()}
        if {n: v.shape for n, v in before.items()} == {n: v.shape for n, v in now.items()}:
            seed, stage = self._place
            draw = stream(seed, "rounding of what is published", stage, number)
            exact = {name: values - before[name] for name, values in now.items()}
            changes = rounded(exact, self._dtype, draw)
            now = {name: float32(before[name] + changes[name]) for name in now}
            self._changes = {name: values for name, values in changes.items() if values.any()}
        state.replace_section(PUBLISHED, {**now, NUMBER: np.array([number], np.float32)})

    def address(
        self,
        state: ServerState,
        rank: int | None,
        holds: Mapping[str, int],
        sent: Callable[[], Arrays],
        *,
        extra: bool,
    ) -> dict[str, Any]:
        """The fields of a request to a client: what it is sent, and what that is.

        Args:
            rank: of its adapters; None: the server's.
            holds: the numbers of what it keeps.
            sent: the shared tensors for that rank, where they travel whole in every round.
            extra: whether the algorithm's own are sent too.
        """
        if not self.short:
            fields: dict[str, Any] = {"arrays": self._record(SHARED, False, rank, sent)}
            more = self._record(EXTRA, False, None, lambda: self._extra)
            return fields | ({"extra": more or None} if extra else {})
        since = self._number - 1
        change = holds.get(self.name(rank)) == since and self._can_be_cut(rank)
        arrays = self._changes if change else state.section(PUBLISHED)
        assert arrays is not None, "_can_be_cut looks"
        shared = self._record(SHARED, change, rank, lambda: cut(section(arrays, SHARED), rank))
        fields = {"published": self._number, "since": since if change else 0, "rank": rank or 0}
        more = self._record(EXTRA, change, None, lambda: section(arrays, EXTRA))
        return {**fields, "arrays": shared} | ({"extra": more or None} if extra else {})

    def _can_be_cut(self, rank: int | None) -> bool:
        """Whether there is a change that a client of this rank reads as the server does.

        Cut through a block of an int8 tensor, it could be rounded once more.
        """
        if self._changes is None or rank is None:
            return self._changes is not None
        if rank not in self._cuts:
            arrays = cut(section(self._changes, SHARED), rank)
            read = unpack(self._record(SHARED, True, rank, lambda: arrays))
            self._cuts[rank] = all(np.array_equal(v, read[name]) for name, v in arrays.items())
        return self._cuts[rank]

    def _record(
        self, kind: str, change: bool, rank: int | None, arrays: Callable[[], Arrays]
    ) -> ArrayRecord:
        key = kind, change, rank
        if key not in self._records:
            self._records[key] = pack(arrays(), self._dtype if change else FLOAT32)
        return self._records[key]

    @staticmethod
    def name(rank: int | None) -> str:
        """Under which a client's number is noted in `ServerState.holds`."""
        return f"{PUBLISHED}.{rank or 0}"

    def numbers(self, rank: int | None) -> dict[str, int]:
        """What a client holds that has been sent the published state."""
        return {self.name(rank): self._number} if self.short else {}
