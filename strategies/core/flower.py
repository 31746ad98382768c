"""An algorithm's steps as Flower's `Strategy`, whoever runs the rounds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from logging import INFO, WARNING
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.evaluation.personal import mean_scores
from fedvlm_flwr.messages import (
    RejectedMessage,
    ScoresReply,
    ScoresRequest,
    TrainMetrics,
    TrainReply,
    TrainRequest,
)
from fedvlm_flwr.messages.wire import pack, unpack
from strategies.base import RoundSteps
from strategies.core.cohort import find_clients
from strategies.core.events import mean_loss, reasons
from strategies.core.federation import Federation
from strategies.core.step import Step
from strategies.core.validation import Expected, read_reply, read_scores, require_finite


class FederatedStrategy(RoundSteps, Strategy):
    """The base of every algorithm: a round of `RoundSteps`, as Flower's `Strategy`.

    `begin` takes the initial tensors; then for each round `open_round` gives the requests,
    `receive` takes a reply, and `close_round` takes the server's step. Flower's `configure_train`
    and `aggregate_train` are made of these and nothing else.

    Attributes:
        personal: whether trained tensors stay with the clients, who then score models of their own.
        accepted: the metrics of the round's good replies, by client.
        limited: in words, by client, what of a good reply's numbers does not count.
        step_ratio: the last server step's length over the clients' mean change, see `Step`.
    """

    def __init__(self, params: Any, federation: Federation) -> None:
        super().__init__(params, federation)
        self.personal = False
        self.accepted: dict[int, TrainMetrics] = {}
        self._record: ArrayRecord | None = None  # the shared tensors as they were handed out last
        self.limited: dict[int, str] = {}
        self.step_ratio: float | None = None
        self._nodes = federation.nodes
        self._examples = federation.examples
        self._sent: dict[int, Message] = {}

    # A round's moves.

    def begin(self, trained: Arrays) -> None:
        """Start from the trained tensors; the algorithm's own state stays."""
        self.state.arrays = self.shared(trained)
        self.personal = len(self.state.arrays) < len(trained)
        self._record = None

    def record(self) -> ArrayRecord:
        """The shared tensors in the wire dtype, packed once."""
        if self._record is None:
            self._record = pack(self.state.arrays, self.federation.wire_dtype)
        return self._record

    def open_round(self, server_round: int) -> dict[int, TrainRequest]:
        """Begin a round: the request to each client of its cohort, all with the same tensors."""
        self.federation = self.federation.at_hand()
        self.examples = self.federation.examples or self._examples
        extra = self.broadcast()
        packed = pack(extra, self.federation.wire_dtype) if extra else None
        self.accepted, self.limited = {}, {}
        self.begin_round()
        cohort = self.choose(server_round)
        self.limit = self.federation.weight_limit(self.examples, cohort)
        return {
            client: TrainRequest(**self._address(client, server_round), data=data, extra=packed)
            for client, data in sorted(cohort.items())
        }

    def receive(self, client: int, message: Message) -> TrainReply:
        """Take in a client's reply.

        Raises:
            RejectedMessage: it cannot be used, and the round is as if it had not come.
        """
        if client in self.accepted:
            raise RejectedMessage("it has answered already")
        limit = self.federation.max_update_norm
        reply = read_reply(message, Expected(self.state.arrays, self.expected_extra(), limit))
        metrics = self.limit.bounded(reply.metrics, by_steps=self.by_steps)
        counted = replace(reply, metrics=metrics)
        self.accumulate(client, counted)
        self.accepted[client] = metrics
        if words := self.limit.words(reply.metrics, by_steps=self.by_steps):
            share = self.federation.max_weight_share
            self.limited[client] = f"{words} (max_weight_share={share:g} times the cohort's median)"
            log(WARNING, "Client %d: %s", client, self.limited[client])
        return counted

    def close_round(self, server_round: int) -> None:
        """End a round with the server's step.

        Raises:
            RunError: the step has led to NaN or infinity.
        """
        state, before, mean = self.state, self.state.arrays, self.aggregate()
        state.arrays = self.server_step(server_round, before, mean)
        self._record = None
        try:
            require_finite(state.arrays | state.server)
        except RejectedMessage as verdict:
            raise RunError(
                f"After the server step of round {server_round} {verdict}; lower the algorithm's "
                "server step size or train.lr."
            ) from verdict
        step = Step.of(before, mean, state.arrays, self.federation.max_step_ratio)
        state.arrays, self.step_ratio = step.arrays, step.ratio
        if step.words:
            log(WARNING, "Round %d: %s", server_round, step.words)
        state.have_previous |= set(self.accepted)
        savers = [client for client, metrics in self.accepted.items() if metrics.saved_state]
        state.saved_rounds |= dict.fromkeys(savers, server_round)
        state.number, state.scored = server_round, False

    def score_requests(self, server_round: int, full: bool) -> dict[int, ScoresRequest]:
        """The request to every client to score its own model; of real sites, the shared one too."""
        self.federation = self.federation.at_hand()
        return {
            client: ScoresRequest(**self._address(client, server_round), full=full)
            for client in self.federation.candidates
        }

    def _address(self, client: int, server_round: int) -> dict[str, Any]:
        """What every request to a client holds."""
        f, state = self.federation, self.state
        lacks = f.previous and client not in state.have_previous
        return {
            "client": client,
            "site": f.roster.names[client] if f.roster else "",
            "stage": f.stage,
            "round": server_round,
            "state_round": state.saved_rounds.get(client, 0),
            "run": f.run,
            "session": f.session,
            "arrays": self.record(),
            "previous": pack(f.previous, f.wire_dtype) if lacks else None,
        }

    # Flower's interface.

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message for each client of the round's cohort.

        Args:
            arrays: what `aggregate_train` gave last, or in the first round all trained tensors.
        """
        if arrays is not self._record:
            self.begin(unpack(arrays))
        self.connect(grid)
        requests = self.open_round(server_round)
        self._sent = {
            client: self.message(grid, request.pack(config), client, MessageType.TRAIN)
            for client, request in requests.items()
        }
        return list(self._sent.values())

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take in each reply as it arrives, then the server step.

        Raises:
            RunError: fewer than `min_replies` good replies; says who failed and why.
        """
        failures: dict[int, str] = {}
        for message in replies:
            client = self._sender(message)
            try:
                self.receive(client, message)
            except RejectedMessage as verdict:
                log(WARNING, "Round %d: client %d is left out: %s", server_round, client, verdict)
                failures[client] = str(verdict)
        self.require_replies(server_round, failures)
        self.close_round(server_round)
        examples = sum(metrics.num_examples for metrics in self.accepted.values())
        numbers = {"loss": mean_loss(self.accepted, self.weight), "num_examples": examples}
        return self.record(), MetricRecord(dict(numbers))

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """A message to every client where each has a model of its own; elsewhere none."""
        requests = self.score_requests(server_round, full=True) if self.personal else {}
        self._sent = {
            client: self.message(grid, request.pack(config), client, MessageType.EVALUATE)
            for client, request in requests.items()
        }
        return list(self._sent.values())

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """The mean of the clients' scores.

        Raises:
            RunError: a client could not be scored; the mean would be over others than before.
        """
        scores: dict[int, ScoresReply] = {}
        failures: dict[int, str] = {}
        for message in replies:
            client = self._sender(message)
            try:
                scores[client] = read_scores(message)
            except RejectedMessage as verdict:
                failures[client] = str(verdict)
        if failures:
            raise unscored(server_round, failures, self.names)
        if not scores:
            return None
        mean = mean_scores([scores[client].scores for client in sorted(scores)])
        return ScoresReply(mean, sum(reply.seconds for reply in scores.values())).record()

    def summary(self) -> None:
        """Log what runs."""
        log(INFO, "%s with %s", type(self).__name__, self.params)

    def message(self, grid: Grid, content: Any, client: int, kind: str) -> Message:
        """A message to the node that serves a client."""
        return Message(content, self.connect(grid)[client], kind)

    def node_of(self, client: int) -> int | None:
        """The node that serves a client, once connected; None: its site is not there."""
        roster = self.federation.roster
        return roster.node(client) if roster else (self._nodes or {})[client]

    def connect(self, grid: Grid, timeout: float = 3600.0) -> dict[int, int]:
        """The node of each client; the first time every node is asked who it is.

        Raises:
            RunError: too few nodes connect within `timeout` seconds, or one cannot say who it is.
        """
        if self.federation.roster is not None:
            return self.federation.at_hand().nodes or {}
        if self._nodes is None:
            clients = find_clients(grid, self.federation.num_clients, timeout)
            self._nodes, self._examples = clients.nodes, clients.examples
        return self._nodes

    def require_replies(self, server_round: int, failures: dict[int, str]) -> None:
        """End a run that too few clients take part in.

        Raises:
            RunError: the round has fewer good replies than it needs.
        """
        good, needed = len(self.accepted), self.federation.replies_needed
        if good < needed:
            raise RunError(
                f"Round {server_round} got {good} good replies and needs {needed} (min_replies). "
                f"{reasons(failures, self.names)}"
            )

    @property
    def names(self) -> Sequence[str]:
        """The names of real sites, by number; empty where clients are simulated."""
        return self.federation.roster.names if self.federation.roster else ()

    def _sender(self, message: Message) -> int:
        """The client that a reply is from: by the message it replies to, else by its node.

        Raises:
            RunError: nobody was sent anything that this could be the reply to.
        """
        question, node = message.metadata.reply_to_message_id, message.metadata.src_node_id
        sent = {client: request.metadata for client, request in self._sent.items()}
        clients = [client for client, of in sent.items() if question and of.message_id == question]
        clients = clients or [client for client, of in sent.items() if of.dst_node_id == node]
        if len(clients) != 1:
            raise RunError(
                f"A reply of node {node} answers no message of this round; give the strategy the "
                "replies to the messages that it made."
            )
        return clients[0]


def unscored(server_round: int, failures: Mapping[int, str], names: Sequence[str] = ()) -> RunError:
    """What ends a run in which a client's model could not be scored."""
    return RunError(
        f"After round {server_round} a client could not be scored. {reasons(failures, names)}"
    )
