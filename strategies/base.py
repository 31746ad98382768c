"""The round loop that every algorithm runs in; an algorithm overrides the steps it changes."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from logging import INFO, WARNING
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.wire import Arrays, pack, payload_bytes, unpack
from strategies.core.cohort import choose_cohort, find_clients
from strategies.core.events import Callback, Evaluation, Round
from strategies.core.exchange import Exchange
from strategies.core.mean import RunningMean
from strategies.core.order import Order
from strategies.core.personal import Scores, mean_scores, pack_scores, read_scores
from strategies.core.replies import BadReply, Expected, Reply, read_reply, require_finite
from strategies.core.state import LoopState


@dataclass(frozen=True)
class Loop:
    """What the round loop needs to know of a run.

    Attributes:
        max_update_norm: a reply further than this from the shared tensors (L2 over all of them)
            is left out; None: any distance.
        nodes: node id by client, when they are known already; asked for otherwise.
        share: the parts whose trained tensors travel; None: all.
        settled: what earlier stages have come to; a client is told once, with its first message.
        run: the run's id, under which clients keep what stays with them.
        resume: where to go on; None: at the initial arrays.
        full_scores: where clients score models of their own: whether a round's evaluation is on
            the whole test set; None: none is due.
    """

    num_clients: int
    cohort_size: int
    min_replies: int
    seed: int
    stage: int = 0
    wire_dtype: str = "float32"
    max_update_norm: float | None = None
    callback: Callback = field(default_factory=Callback)
    nodes: dict[int, int] | None = None
    share: tuple[str, ...] | None = None
    settled: Arrays = field(default_factory=dict)
    run: str = ""
    resume: LoopState | None = None
    full_scores: Callable[[int], bool | None] = lambda number: None


class FederatedStrategy(Strategy):
    """Flower's Message-API strategy with replies taken one at a time.

    A round: choose the cohort, send the shared arrays, add each reply to a running weighted mean as
    it arrives (server memory does not grow with the number of clients), then the server step. A
    reply that cannot be used is left out and named; where too few are good, those that failed are
    asked once more, and then the run ends.

    Attributes:
        state: the shared tensors and the algorithm's own, as they stand.
        mean: the round's running mean.
        personal: whether trained tensors stay with the clients, who then score models of their own.
    """

    def __init__(self, params: Any, loop: Loop) -> None:
        self.params = params
        self.loop = loop
        self.state = LoopState({})
        self.mean = RunningMean()
        self.personal = False
        self._needed = max(1, loop.min_replies)
        self._nodes: dict[int, int] = {}
        self._account = Round(loop.stage, 0, [])
        self._sent: dict[int, RecordDict] = {}
        self._client_of: dict[str, int] = {}

    # What an algorithm may change, in the order of a round.

    def shared(self, trained: Arrays) -> Arrays:
        """Which of the trained tensors travel: those of the parts that the tuning shares."""
        parts = self.loop.share
        return {n: v for n, v in trained.items() if parts is None or n.partition(".")[0] in parts}

    def choose(self, server_round: int) -> dict[int, tuple[int, ...]]:
        """The round's cohort; for each member the clients whose examples it trains on: its own."""
        loop = self.loop
        cohort = choose_cohort(
            loop.num_clients, loop.cohort_size, loop.seed, loop.stage, server_round
        )
        return {client: (client,) for client in cohort}

    def broadcast(self) -> Arrays:
        """What travels down beside the shared tensors; nothing."""
        return {}

    def open_round(self) -> None:
        """Before the first reply."""
        self.mean = RunningMean()

    def expected_extra(self) -> Arrays:
        """Names and shapes of what clients send beside the trained tensors; nothing."""
        return {}

    def take(self, client: int, reply: Reply) -> None:
        """Add a good reply, as it arrives."""
        self.mean.add(reply.arrays, reply.num_examples)

    def combine(self) -> Arrays:
        """What the good replies come to: their mean, weighted by examples."""
        return self.mean.result()

    def server_step(self, server_round: int, arrays: Arrays, mean: Arrays) -> Arrays:
        """The new global arrays from the old ones and the clients' combined result."""
        return mean

    # The loop.

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
            initial_arrays: all trained tensors; `shared` picks those that travel.
            timeout: seconds to wait for the replies of a round.
            evaluate_fn: called with the shared arrays before the first round and after each.

        Raises:
            RunError: a round got fewer good replies than `min_replies`; says who failed and why.
        """
        result = Result()
        loop = self.loop
        self._nodes = loop.nodes or find_clients(grid, loop.num_clients, timeout)
        trained = unpack(initial_arrays)
        shared = self.shared(trained)
        self.personal = len(shared) < len(trained)
        self.state = loop.resume or LoopState(shared)
        result.arrays = self._packed()
        if not self.state.scored:
            self._score(grid, timeout, result, evaluate_fn)
        for server_round in range(self.state.number + 1, num_rounds + 1):
            began = time.monotonic()
            config = train_config or ConfigRecord()
            messages = list(self.configure_train(server_round, result.arrays, config, grid))
            replies = self._replies(grid, messages, timeout)
            arrays, metrics = self.aggregate_train(server_round, replies)
            assert arrays is not None and metrics is not None
            result.arrays = arrays
            result.train_metrics_clientapp[server_round] = metrics
            self._account.seconds = time.monotonic() - began
            loop.callback.on_round_end(self._account, self.state)
            self._score(grid, timeout, result, evaluate_fn)
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message for each client of the round's cohort, all with the same shared arrays."""
        loop, chosen = self.loop, self.choose(server_round)
        self._account = Round(loop.stage, server_round, sorted(chosen))
        loop.callback.on_round_start(self._account)
        beside = self.broadcast()
        extra = {"extra": pack(beside, loop.wire_dtype)} if beside else {}
        self._sent = {}
        for client, data in sorted(chosen.items()):
            order = self._order(client, server_round, data).record(config)
            beside_it = extra | self._settled_for(client)
            self._sent[client] = RecordDict({"arrays": arrays, "config": order, **beside_it})
        return [self._message(client) for client in self._sent]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add each reply as it arrives, then take the server step.

        Raises:
            RunError: fewer than `min_replies` good replies.
        """
        account, state = self._account, self.state
        self.open_round()
        for message in replies:
            self._judge(message)
        self._require_replies()
        account.loss = account.mean_loss()
        state.arrays = self.server_step(server_round, state.arrays, self.combine())
        self._require_finite(server_round)
        state.informed |= set(account.replies)
        keepers = [client for client, metrics in account.replies.items() if metrics.get("kept")]
        state.kept |= dict.fromkeys(keepers, server_round)
        state.number, state.scored = server_round, False
        return self._packed(), MetricRecord(
            {"loss": account.loss, "num_examples": account.num_examples}
        )

    def _settled_for(self, client: int) -> dict[str, ArrayRecord]:
        """The result of earlier stages, for a client that has not answered in this one yet."""
        if not self.loop.settled or client in self.state.informed:
            return {}
        return {"settled": pack(self.loop.settled, self.loop.wire_dtype)}

    def _order(self, client: int, number: int, data: tuple[int, ...], full: bool = True) -> Order:
        loop = self.loop
        kept = self.state.kept.get(client, 0)
        return Order(client, loop.stage, number, data, kept, loop.run, full)

    def _message(self, client: int) -> Message:
        content = self._sent[client]
        self._account.bytes_down += payload_bytes(content)
        return Message(content, self._nodes[client], MessageType.TRAIN)

    def _packed(self) -> ArrayRecord:
        return pack(self.state.arrays, self.loop.wire_dtype)

    def _replies(self, grid: Grid, messages: list[Message], timeout: float) -> Iterator[Message]:
        """Every reply as it comes; where too few of them are good, those of a second attempt too.

        The taker judges each reply before it asks for the next one, so that the count is right.
        """
        account, exchange = self._account, Exchange(grid, timeout)
        yield from self._attempt(exchange, dict(zip(account.cohort, messages, strict=True)))
        if len(account.replies) < self._needed:
            again = sorted(account.failures)
            log(WARNING, "Round %d: clients %s are asked once more.", account.number, again)
            account.retried = {client: account.failures.pop(client) for client in again}
            yield from self._attempt(exchange, {c: self._message(c) for c in again})
        account.waiting = exchange.waiting

    def _attempt(self, exchange: Exchange, messages: dict[int, Message]) -> Iterator[Message]:
        for client, reply in exchange.run(messages):
            if reply is None:
                self._reject(client, exchange.late())
            else:
                self._client_of = {reply.metadata.reply_to_message_id: client}
                yield reply

    def _judge(self, message: Message) -> None:
        client = self._client_of[message.metadata.reply_to_message_id]
        expected = Expected(self.state.arrays, self.expected_extra(), self.loop.max_update_norm)
        try:
            reply = read_reply(message, expected)
            self.take(client, reply)
        except BadReply as verdict:
            self._reject(client, str(verdict))
            return
        self._account.bytes_up += reply.num_bytes
        self._account.replies[client] = reply.metrics
        self.loop.callback.on_reply(self._account, client, reply)

    def _reject(self, client: int, reason: str) -> None:
        log(WARNING, "Round %d: client %d is left out: %s", self._account.number, client, reason)
        self._account.failures[client] = reason
        self.loop.callback.on_reply(self._account, client, None)

    def _require_replies(self) -> None:
        account, good = self._account, len(self._account.replies)
        if good < self._needed:
            raise RunError(
                f"Round {account.number} got {good} good replies and needs {self._needed} "
                f"(min_replies). {account.reasons()}"
            )

    def _require_finite(self, server_round: int) -> None:
        try:
            require_finite(self.state.arrays | self.state.server)
        except BadReply as verdict:
            raise RunError(
                f"After the server step of round {server_round} {verdict}; lower the algorithm's "
                "server step size or train.lr."
            ) from verdict

    def _score(
        self,
        grid: Grid,
        timeout: float,
        result: Result,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None,
    ) -> None:
        """Have the model scored: by the server, or by each client with its private tensors."""
        number, metrics = self.state.number, None
        if self.personal:
            order = ConfigRecord()
            messages = list(self.configure_evaluate(number, result.arrays, order, grid))
            replies = self._attempt(Exchange(grid, timeout), dict(enumerate(messages)))
            metrics = self.aggregate_evaluate(number, replies) if messages else None
        elif evaluate_fn is not None:
            metrics = evaluate_fn(number, result.arrays)
        if metrics is not None:
            result.evaluate_metrics_serverapp[number] = metrics
        self.state.scored = True
        self.loop.callback.on_scored(self.state)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """A message to every client where each has a model of its own and a score is due.

        Elsewhere none: the global model is scored on the server, by `evaluate_fn`.
        """
        self._account = Round(self.loop.stage, server_round, list(range(self.loop.num_clients)))
        full = self.loop.full_scores(server_round) if self.personal else None
        for client in self._account.cohort if full is not None else ():
            order = self._order(client, server_round, (client,), bool(full)).record(config)
            content = RecordDict({"arrays": arrays, "config": order, **self._settled_for(client)})
            yield Message(content, self._nodes[client], MessageType.EVALUATE)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Tell each client's scores and their mean over the clients.

        Raises:
            RunError: a client could not be scored; the mean would be over others than before.
        """
        tell, stage = self.loop.callback.on_evaluated, self.loop.stage
        full = self.loop.full_scores(server_round)
        what = "test set" if full else "test sample"
        found: dict[int, Scores] = {}
        total = 0.0
        for message in replies:
            client = self._client_of[message.metadata.reply_to_message_id]
            try:
                found[client], seconds = read_scores(message)
            except BadReply as verdict:
                self._account.failures[client] = str(verdict)
                continue
            total += seconds
            where = f"client:{client}"
            tell(Evaluation(stage, server_round, where, what, found[client], seconds, full))
        if self._account.failures:
            reasons = self._account.reasons()
            raise RunError(f"After round {server_round} a client could not be scored. {reasons}")
        mean = mean_scores([found[client] for client in sorted(found)])
        tell(Evaluation(stage, server_round, "clients", what, mean, total, full))
        return pack_scores(mean, total)

    def summary(self) -> None:
        """Log what runs."""
        log(INFO, "%s with %s", type(self).__name__, self.params)
