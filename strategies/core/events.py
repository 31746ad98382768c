"""What a round tells those who watch it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedvlm_flwr.messages import TrainMetrics, TrainReply
from strategies.core.state import ServerState


@dataclass
class Round:
    """The account of one round, filled while it runs.

    Attributes:
        loss: mean training loss of the good replies, weighted as they are.
        step_ratio: length of the server's step over that of the clients' mean change; None: they
            did not move.
        seconds: wall time from the first message out to the server step done.
        waiting: the part of it in which the server sent messages and waited for replies.
        bytes_down: weight of the messages sent, all clients together.
        bytes_up: weight of the good replies.
        failures: reason by client, for each that was left out.
        retried: reason by client, for each that failed at first and was asked once more.
        limited: what of a good reply's examples does not count, by client.
        replies: metrics by client, for each good one.
        product_distance: of the adapters' new product from the mean of the clients', in parts of
            the way from the old one to that mean (Frobenius, over all layers); None: not measured.
        names: of real sites, by number.
    """

    stage: int
    number: int
    cohort: list[int]
    loss: float = float("nan")
    step_ratio: float | None = None
    seconds: float = 0.0
    waiting: float = 0.0
    bytes_down: int = 0
    bytes_up: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    retried: dict[int, str] = field(default_factory=dict)
    limited: dict[int, str] = field(default_factory=dict)
    replies: dict[int, TrainMetrics] = field(default_factory=dict)
    product_distance: float | None = None
    names: Sequence[str] = ()

    @property
    def num_examples(self) -> float:
        """Examples of the good replies, all clients together."""
        return sum(metrics.num_examples for metrics in self.replies.values())


def mean_loss(
    replies: Mapping[int, TrainMetrics], weight_of: Callable[[TrainMetrics], float]
) -> float:
    """Training loss in nats per token, weighted as the replies are, over those that tell it.

    Summed in the order of clients, so that it does not depend on who came first; NaN where nobody
    tells a loss.
    """
    pairs = [(weight_of(m), m.loss) for _, m in sorted(replies.items()) if m.loss is not None]
    total = sum(weight for weight, _ in pairs)
    return sum(weight * loss for weight, loss in pairs) / total if pairs else float("nan")


def reasons(failures: Mapping[int, str], names: Sequence[str] = ()) -> str:
    """Who failed, and why, in one line.

    Args:
        names: of real sites, by number.
    """
    return "; ".join(
        f"{label(client, names)}: {reason}" for client, reason in sorted(failures.items())
    )


def label(client: int, names: Sequence[str]) -> str:
    """A client as messages call it: by the name of its site, where it has one."""
    return f"site {names[client]}" if client < len(names) else f"client {client}"


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set of examples.

    Attributes:
        where: `server` (the global model), `client:5` (the model with that client's private
            tensors, or by a real site's records), `clients` (the mean over those) or `sites` (over
            the records of all real sites).
        what: the set in words.
        scores: metrics by task.
        full: whether it was the whole test set; None for a control.
        control: the way of being blind to the picture (`majority`, ...), empty for a model.
        names: of real sites, by number.
    """

    stage: int
    number: int
    where: str
    what: str
    scores: Mapping[str, Mapping[str, float]]
    seconds: float
    full: bool | None = None
    control: str = ""
    names: Sequence[str] = ()


class Callback:
    """Watches the round loop; each method does nothing by default."""

    def on_round_start(self, account: Round) -> None:
        """The cohort is chosen; nothing is sent yet."""

    def on_reply(self, account: Round, client: int, reply: TrainReply | None) -> None:
        """A client answered; `reply` is None where it failed (the reason is in the account)."""

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """The server step is done."""

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """A model has been scored."""

    def on_scored(self, state: ServerState) -> None:
        """All scores of the round are in (or none were due); also before the first round."""

    def on_end(self, failed: bool) -> None:
        """The run's process has done with it, well or not; nothing more is told."""

    def memory(self) -> dict[str, Any]:
        """What this callback must know again when the run is resumed, as JSON."""
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Take up again what `memory` gave."""


class Callbacks(Callback):
    """Several callbacks, called in order."""

    def __init__(self, members: Sequence[Callback]) -> None:
        self._members = members

    def on_round_start(self, account: Round) -> None:
        """Pass on."""
        for member in self._members:
            member.on_round_start(account)

    def on_reply(self, account: Round, client: int, reply: TrainReply | None) -> None:
        """Pass on."""
        for member in self._members:
            member.on_reply(account, client, reply)

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """Pass on."""
        for member in self._members:
            member.on_round_end(account, state)

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """Pass on."""
        for member in self._members:
            member.on_evaluated(evaluation)

    def on_scored(self, state: ServerState) -> None:
        """Pass on."""
        for member in self._members:
            member.on_scored(state)

    def on_end(self, failed: bool) -> None:
        """Pass on."""
        for member in self._members:
            member.on_end(failed)

    def memory(self) -> dict[str, Any]:
        """Each member's memory under the name of its class."""
        return {type(member).__name__: member.memory() for member in self._members}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Give each member its own."""
        for member in self._members:
            member.recall(memory.get(type(member).__name__, {}))
