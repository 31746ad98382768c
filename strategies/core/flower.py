"""An algorithm's steps as Flower's `Strategy`, whoever runs the rounds."""

from collections.abc import Iterable, Mapping, Sequence
from logging import INFO, WARNING
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.evaluation.personal import mean_scores
from fedvlm_flwr.messages import LostState, RejectedMessage, ScoresReply
from fedvlm_flwr.messages.wire import unpack
from strategies.core.cohort import find_clients
from strategies.core.events import mean_loss, reasons
from strategies.core.federation import Federation
from strategies.core.moves import RoundMoves
from strategies.core.validation import read_scores


class FederatedStrategy(RoundMoves, Strategy):
    """The base of every algorithm: its round as Flower's `Strategy`.

    Flower's `configure_train` and `aggregate_train` are made of the moves of `RoundMoves` and of
    nothing else.
    """

    def __init__(self, params: Any, federation: Federation) -> None:
        super().__init__(params, federation)
        self._nodes = federation.nodes
        self._sent: dict[int, Message] = {}

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
                if isinstance(verdict, LostState):
                    self.forget(client)
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
        log(INFO, "%s with %s", self.name, self.params)

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
