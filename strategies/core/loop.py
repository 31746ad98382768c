"""The rounds of a stage: cohort, exchange, second attempt, server step, scores, events."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from logging import WARNING

from flwr.app import ArrayRecord, Message, MessageType, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from fedvlm_flwr.evaluation.personal import mean_scores
from fedvlm_flwr.messages import RejectedMessage, ScoresReply
from fedvlm_flwr.messages.request import ClientRequest
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.messages.wire import payload_bytes, unpack
from strategies.core.events import Callback, Evaluation, Round, mean_loss
from strategies.core.exchange import Exchange
from strategies.core.flower import FederatedStrategy, unscored
from strategies.core.state import ServerState
from strategies.core.validation import read_scores

ScoreGlobal = Callable[[int, ArrayRecord], MetricRecord | None]


def never(server_round: int) -> bool | None:
    """No scores of the clients' own models."""
    return None


@dataclass
class RoundLoop:
    """Runs a strategy's rounds, one reply at a time: server memory does not grow with them.

    What it adds to Flower's own `Strategy.start`: replies are taken in as they arrive, who failed
    is asked once more where too few are good, every round is accounted for and told to the
    callback, and it goes on from a saved state.

    Attributes:
        timeout: seconds to wait for the replies of a round.
        full_scores: whether a round's evaluation is on the whole test set; None: none is due. Asked
            where clients score models of their own.
        resume: where to go on; None: at the initial arrays.
    """

    strategy: FederatedStrategy
    grid: Grid
    timeout: float = 3600.0
    callback: Callback = field(default_factory=Callback)
    full_scores: Callable[[int], bool | None] = never
    resume: ServerState | None = None

    def run(
        self, initial: ArrayRecord, num_rounds: int, score_global: ScoreGlobal | None = None
    ) -> Result:
        """Run the rounds that are left.

        Args:
            initial: all trained tensors, of which the strategy shares some.
            score_global: called with the shared arrays before the first round and after each,
                unless clients score models of their own.

        Raises:
            RunError: a round got fewer good replies than `min_replies`, says who failed and why; or
                a client could not be scored.
        """
        strategy, result = self.strategy, Result()
        strategy.connect(self.grid, self.timeout)
        strategy.begin(unpack(initial))
        if self.resume is not None:
            strategy.state = self.resume
        if not strategy.state.scored:
            self._score(result, score_global)
        for number in range(strategy.state.number + 1, num_rounds + 1):
            account = self._round(number)
            result.train_metrics_clientapp[number] = MetricRecord(
                {"loss": account.loss, "num_examples": account.num_examples}
            )
            self._score(result, score_global)
        result.arrays = strategy.record()
        return result

    def _round(self, number: int) -> Round:
        strategy, began = self.strategy, time.monotonic()
        requests = strategy.open_round(number)
        account = Round(strategy.federation.stage, number, sorted(requests))
        self.callback.on_round_start(account)
        exchange = Exchange(self.grid, self.timeout)
        self._ask(exchange, account, requests)
        if len(account.replies) < strategy.federation.replies_needed:
            again = sorted(account.failures)
            log(WARNING, "Round %d: clients %s are asked once more.", number, again)
            account.retried, account.failures = account.failures, {}
            self._ask(exchange, account, {client: requests[client] for client in again})
        account.waiting = exchange.waiting
        strategy.require_replies(number, account.failures)
        account.loss = mean_loss(account.replies)
        strategy.close_round(number)
        account.seconds = time.monotonic() - began
        self.callback.on_round_end(account, strategy.state)
        return account

    def _ask(
        self, exchange: Exchange, account: Round, requests: Mapping[int, ClientRequest]
    ) -> None:
        """Send requests and take in each reply, or note why it is left out."""
        messages = self._messages(requests, MessageType.TRAIN)
        account.bytes_down += sum(payload_bytes(m.content) for m in messages.values())
        for client, message in exchange.run(messages):
            try:
                if message is None:
                    raise RejectedMessage(exchange.late())
                reply = self.strategy.receive(client, message)
            except RejectedMessage as verdict:
                log(WARNING, "Round %d: client %d is left out: %s", account.number, client, verdict)
                account.failures[client] = str(verdict)
                self.callback.on_reply(account, client, None)
                continue
            account.bytes_up += reply.num_bytes
            account.replies[client] = reply.metrics
            account.limited = self.strategy.limited
            self.callback.on_reply(account, client, reply)

    def _messages(self, requests: Mapping[int, ClientRequest], kind: str) -> dict[int, Message]:
        return {
            client: self.strategy.message(self.grid, request.pack(), client, kind)
            for client, request in requests.items()
        }

    def _score(self, result: Result, score_global: ScoreGlobal | None) -> None:
        """Have the model scored: by the server, or by each client with its private tensors."""
        state = self.strategy.state
        if self.strategy.personal:
            metrics = self._score_clients(state.number)
        else:
            metrics = score_global(state.number, self.strategy.record()) if score_global else None
        if metrics is not None:
            result.evaluate_metrics_serverapp[state.number] = metrics
        state.scored = True
        self.callback.on_scored(state)

    def _score_clients(self, number: int) -> MetricRecord | None:
        """Each client's scores, told one by one, and their mean over the clients."""
        full = self.full_scores(number)
        if full is None:
            return None
        requests = self.strategy.score_requests(number, full)
        exchange = Exchange(self.grid, self.timeout)
        scores: dict[int, Scores] = {}
        failures: dict[int, str] = {}
        total = 0.0
        for client, message in exchange.run(self._messages(requests, MessageType.EVALUATE)):
            try:
                if message is None:
                    raise RejectedMessage(exchange.late())
                reply = read_scores(message)
            except RejectedMessage as verdict:
                failures[client] = str(verdict)
                continue
            scores[client] = reply.scores
            total += reply.seconds
            self._tell(number, f"client:{client}", reply.scores, reply.seconds, full)
        if failures:
            raise unscored(number, failures)
        mean = mean_scores([scores[client] for client in sorted(scores)])
        self._tell(number, "clients", mean, total, full)
        return ScoresReply(mean, total).record()

    def _tell(self, number: int, where: str, scores: Scores, seconds: float, full: bool) -> None:
        stage, what = self.strategy.federation.stage, "test set" if full else "test sample"
        self.callback.on_evaluated(Evaluation(stage, number, where, what, scores, seconds, full))
