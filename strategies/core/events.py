"""What a round tells those who watch it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fedvlm_flwr.wire import Arrays
from strategies.core.replies import Reply


@dataclass
class Round:
    """The account of one round, filled while it runs.

    Attributes:
        loss: mean training loss of the good replies, weighted by examples.
        seconds: wall time from the first message out to the server step done.
        waiting: the part of it in which the server sent messages and waited for replies.
        bytes_down: weight of the messages sent, all clients together.
        bytes_up: weight of the good replies.
        failures: reason by client, for each reply that was left out.
        replies: metrics by client, for each good one.
    """

    stage: int
    number: int
    cohort: list[int]
    loss: float = float("nan")
    seconds: float = 0.0
    waiting: float = 0.0
    bytes_down: int = 0
    bytes_up: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    replies: dict[int, dict[str, float]] = field(default_factory=dict)


class Callback:
    """Watches the round loop; each method does nothing by default."""

    def on_round_start(self, account: Round) -> None:
        """The cohort is chosen; nothing is sent yet."""

    def on_reply(self, account: Round, client: int, reply: Reply | None) -> None:
        """A client answered; `reply` is None where it failed (the reason is in the account)."""

    def on_round_end(self, account: Round, arrays: Arrays) -> None:
        """The server step is done; `arrays` is the new global state."""


class Callbacks(Callback):
    """Several callbacks, called in order."""

    def __init__(self, members: Sequence[Callback]) -> None:
        self._members = members

    def on_round_start(self, account: Round) -> None:
        """Pass on."""
        for member in self._members:
            member.on_round_start(account)

    def on_reply(self, account: Round, client: int, reply: Reply | None) -> None:
        """Pass on."""
        for member in self._members:
            member.on_reply(account, client, reply)

    def on_round_end(self, account: Round, arrays: Arrays) -> None:
        """Pass on."""
        for member in self._members:
            member.on_round_end(account, arrays)
