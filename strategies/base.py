"""The round loop that every algorithm runs in; an algorithm overrides the server step."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from logging import INFO

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.wire import Arrays, pack, payload_bytes, unpack
from strategies.core.cohort import choose_cohort, find_clients
from strategies.core.events import Callback, Round
from strategies.core.mean import RunningMean
from strategies.core.replies import BadReply, Reply, read_reply

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Loop:
    """What the round loop needs to know of a run.

    Attributes:
        nodes: node id by client, when they are known already; asked for otherwise.
    """

    num_clients: int
    cohort_size: int
    min_replies: int
    seed: int
    stage: int = 0
    wire_dtype: str = "float32"
    callback: Callback = field(default_factory=Callback)
    nodes: dict[int, int] | None = None


class FederatedStrategy(Strategy):
    """Flower's Message-API strategy with replies taken one at a time.

    A round: choose the cohort, send the shared arrays, add each reply to a running weighted mean as
    it arrives (server memory does not grow with the number of clients), then the server step. A
    reply that cannot be used is left out and named; too few good ones end the run.
    """

    def __init__(self, params: object, loop: Loop) -> None:
        self.params = params
        self.loop = loop
        self.arrays: Arrays = {}
        self._nodes: dict[int, int] = {}
        self._account = Round(loop.stage, 0, [])
        self._client_of: dict[str, int] = {}

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """The new global arrays from the old ones and the clients' weighted mean."""
        return mean

    def start(  # noqa: PLR0913  # Flower's own signature
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run the rounds.

        Args:
            timeout: seconds to wait for the replies of a round.
            evaluate_fn: called with the shared arrays before the first round and after each.

        Raises:
            RunError: a round got fewer good replies than `min_replies`; says who failed and why.
        """
        result = Result()
        loop = self.loop
        self._nodes = loop.nodes or find_clients(grid, loop.num_clients, timeout)
        self.arrays = unpack(initial_arrays)
        result.arrays = initial_arrays
        self._evaluate(0, result, evaluate_fn)
        for server_round in range(1, num_rounds + 1):
            began = time.monotonic()
            messages = list(
                self.configure_train(
                    server_round, result.arrays, train_config or ConfigRecord(), grid
                )
            )
            replies = self._stream(grid, messages, timeout)
            arrays, metrics = self.aggregate_train(server_round, replies)
            assert arrays is not None and metrics is not None
            result.arrays = arrays
            result.train_metrics_clientapp[server_round] = metrics
            self._account.seconds = time.monotonic() - began
            loop.callback.on_round_end(self._account, self.arrays)
            self._evaluate(server_round, result, evaluate_fn)
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message for each client of the round's cohort, all with the same shared arrays."""
        loop = self.loop
        cohort = choose_cohort(
            loop.num_clients, loop.cohort_size, loop.seed, loop.stage, server_round
        )
        self._account = Round(loop.stage, server_round, cohort)
        loop.callback.on_round_start(self._account)
        for client in cohort:
            order = ConfigRecord(
                {**config, "round": server_round, "stage": loop.stage, "client": client}
            )
            content = RecordDict({"arrays": arrays, "config": order})
            self._account.bytes_down += payload_bytes(content)
            yield Message(content, self._nodes[client], MessageType.TRAIN)

    def _stream(self, grid: Grid, messages: list[Message], timeout: float) -> Iterator[Message]:
        """Push the messages and yield replies as they come, until all are in or time is up."""
        mark, clients = time.monotonic(), list(self._account.cohort)
        pushed = list(grid.push_messages(messages))
        if len(pushed) != len(clients):
            raise RunError(
                f"Only {len(pushed)} of {len(clients)} messages could be sent; see the SuperLink."
            )
        self._client_of = dict(zip(pushed, clients, strict=True))
        waiting = set(pushed)
        deadline = time.monotonic() + timeout
        while waiting and time.monotonic() < deadline:
            arrived = list(grid.pull_messages(waiting))
            for reply in arrived:
                waiting.discard(reply.metadata.reply_to_message_id)
                self._account.waiting += time.monotonic() - mark
                yield reply
                mark = time.monotonic()
            if waiting and not arrived:
                time.sleep(POLL_SECONDS)
        self._account.waiting += time.monotonic() - mark
        for message_id in waiting:
            self._reject(self._client_of[message_id], f"no reply within {timeout:g} s")

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add each reply as it arrives, then take the server step.

        Raises:
            RunError: fewer than `min_replies` good replies.
        """
        mean, loss = RunningMean(), 0.0
        for message in replies:
            client = self._client_of[message.metadata.reply_to_message_id]
            reply = self._accept(client, message)
            if reply is not None:
                mean.add(reply.arrays, reply.num_examples)
                loss += reply.num_examples * reply.metrics.get("loss", float("nan"))
        self._require_replies(mean.count)
        self._account.loss = loss / mean.weight
        self.arrays = self.server_step(server_round, self.arrays, mean.result())
        metrics = MetricRecord({"loss": self._account.loss, "num_examples": mean.weight})
        return pack(self.arrays, self.loop.wire_dtype), metrics

    def _accept(self, client: int, message: Message) -> Reply | None:
        try:
            reply = read_reply(message, self.arrays)
        except BadReply as verdict:
            self._reject(client, str(verdict))
            return None
        self._account.bytes_up += reply.num_bytes
        self._account.replies[client] = reply.metrics
        self.loop.callback.on_reply(self._account, client, reply)
        return reply

    def _reject(self, client: int, reason: str) -> None:
        self._account.failures[client] = reason
        self.loop.callback.on_reply(self._account, client, None)

    def _require_replies(self, good: int) -> None:
        if good >= max(1, self.loop.min_replies):
            return
        account = self._account
        named = "; ".join(f"client {c}: {r}" for c, r in sorted(account.failures.items()))
        raise RunError(
            f"Round {account.number} got {good} good replies and needs {self.loop.min_replies} "
            f"(min_replies). {named}"
        )

    def _evaluate(
        self,
        server_round: int,
        result: Result,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None,
    ) -> None:
        if evaluate_fn is None:
            return
        metrics = evaluate_fn(server_round, result.arrays)
        if metrics is not None:
            result.evaluate_metrics_serverapp[server_round] = metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """No message: the global model is scored on the server, by `evaluate_fn`."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Nothing to aggregate, see `configure_evaluate`."""
        return None

    def summary(self) -> None:
        """Log what runs."""
        log(INFO, "%s with %s", type(self).__name__, self.params)
