"""What every request to a client says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from fedvlm_flwr.errors import RequestError
from fedvlm_flwr.messages.fields import (
    RejectedMessage,
    declared,
    from_values,
    optional_record,
    record_of,
    to_values,
)
from fedvlm_flwr.messages.names import ARRAYS, DEPOSITS, EXTRA, REQUEST

MOST = 2**31 - 1


@contextmanager
def of_one_version() -> Iterator[None]:
    """Read a server's message, which can only be senseless where it is of another version.

    Raises:
        RequestError: it is.
    """
    try:
        yield
    except RejectedMessage as verdict:
        raise RequestError(
            f"The server's message cannot be used ({verdict}); install the same version of the "
            "app on both sides."
        ) from verdict


@dataclass(frozen=True, kw_only=True)
class ClientRequest:
    """One client's part in a round.

    Attributes:
        client: its number, 0 .. num_clients - 1.
        site: its name, where it is a real site; empty: it is simulated.
        stage: of the tuning, from 0.
        round: of the stage, from 1; 0 before the first.
        state_round: the round after which the client saved the private state that it starts from;
            0: none yet.
        run: the run's own id, under which sites save their private state.
        session: names the link in the cache folder by which simulated clients find the run's own
            folder; a new one whenever the server starts. Empty: there is none.
        uses: the deposits that go with the arrays, as `name:number` with blanks between.
        resting: the ending of the names of shared tensors that are neither trained nor sent back;
            empty: there are none.
        published: the number of the state that the shared tensors and the algorithm's own make up,
            which the client saves where it trains; 0: they are whole, and nothing is saved.
        since: the number of the saved state to which they are to be added; 0: they are whole.
        rank: of the adapters in a state that is saved; 0: the server's.
        arrays: the shared tensors that are no deposit, packed, at the client's rank.
        deposits: those that the client lacks, packed, as `name/tensor`; None: it has them all.
    """

    client: int = declared("number", 0, MOST)
    site: str = declared("characters", 0, 64, "")
    stage: int = declared("number, from 0", 0, 1000)
    round: int = declared("number, from 1", 0, MOST)
    state_round: int = declared("number of a round", 0, MOST, 0)
    run: str = declared("32 hexadecimal digits", 0, 64, "")
    session: str = declared("32 hexadecimal digits", 0, 64, "")
    uses: str = declared("characters", 0, 1_000_000, "")
    resting: str = declared("characters", 0, 64, "")
    published: int = declared("number of a state", 0, MOST, 0)
    since: int = declared("number of a state", 0, MOST, 0)
    rank: int = declared("rank", 0, MOST, 0)
    arrays: ArrayRecord
    deposits: ArrayRecord | None = None

    def pack(self, more: Mapping[str, Any] | None = None) -> RecordDict:
        """As a message's content, with further values beside its own in the record `request`."""
        content = RecordDict({ARRAYS: self.arrays})
        content[REQUEST] = ConfigRecord({**(more or {}), **to_values(self)})
        for name, record in ((DEPOSITS, self.deposits), (EXTRA, getattr(self, "extra", None))):
            if record is not None:
                content[name] = record
        return content

    @classmethod
    def unpack(cls, content: RecordDict) -> Self:
        """The request in a message's content.

        Raises:
            RequestError: a record or value is absent or senseless: the two sides run different
                versions.
        """
        with of_one_version():
            values = from_values(cls, record_of(content, REQUEST, ConfigRecord), REQUEST)
            arrays = record_of(content, ARRAYS, ArrayRecord)
            values |= {"deposits": optional_record(content, DEPOSITS), **cls._more(content)}
        return cls(**values, arrays=arrays)

    @classmethod
    def _more(cls, content: RecordDict) -> dict[str, ArrayRecord | None]:
        """The records of a subclass beside those that every request has."""
        return {}
