"""The rounds of a stage: cohort, exchange, second attempt, server step, scores, events."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from logging import WARNING

from flwr.app import ArrayRecord, MessageType, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.evaluation.personal import mean_scores
from fedvlm_flwr.evaluation.pooled import pooled_scores
from fedvlm_flwr.messages import LostState, RejectedMessage, ScoresReply
from fedvlm_flwr.messages.request import ClientRequest
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.messages.wire import payload_bytes, unpack
from strategies.core.events import Callback, Evaluation, Round, label, mean_loss
from strategies.core.exchange import Exchange
from strategies.core.flower import FederatedStrategy, unscored
from strategies.core.state import ServerState
from strategies.core.validation import read_scores

ScoreGlobal = Callable[[int, Arrays, Arrays], MetricRecord | None]


def never(server_round: int) -> bool | None:
    """No scores of the clients' own models."""
    return None


def goes_on(state: ServerState) -> bool:
    """No end before the last round."""
    return False


@dataclass
class RoundLoop:
    """Runs a strategy's rounds, one reply at a time: server memory does not grow with them.

    What it adds to Flower's own `Strategy.start`: replies are taken in as they arrive, who failed
    is asked once more where too few are good, every round is accounted for and told to the
    callback, and it goes on from a saved state.

    Attributes:
        timeout: seconds to wait for the replies of a round.
        ask_sites: whether the clients are real sites that score the global model too.
        full_scores: whether a round's evaluation is on the whole test set; None: none is due. Asked
            where clients score models of their own.
        resume: where to go on; None: at the initial arrays.
        ends: whether a state is the stage's last, whatever rounds there are left.
    """

    strategy: FederatedStrategy
    grid: Grid
    timeout: float = 3600.0
    callback: Callback = field(default_factory=Callback)
    full_scores: Callable[[int], bool | None] = never
    ask_sites: bool = False
    resume: ServerState | None = None
    ends: Callable[[ServerState], bool] = goes_on

    def run(
        self, initial: ArrayRecord, num_rounds: int, score_global: ScoreGlobal | None = None
    ) -> Result:
        """Run the rounds that are left.

        Args:
            initial: all trained tensors, of which the strategy shares some.
            score_global: called before the first round and after each with the round, the tensors
                that are served and the frozen term beside the base, unless clients score models of
                their own.

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
            if self.ends(strategy.state):
                break
            account = self._round(number)
            result.train_metrics_clientapp[number] = MetricRecord(
                {"loss": account.loss, "num_examples": account.num_examples}
            )
            self._score(result, score_global)
        result.arrays = strategy.record()
        return result

    def _round(self, number: int) -> Round:
        strategy, began = self.strategy, time.monotonic()
        self._wait_for_sites()
        requests = strategy.open_round(number)
        account = Round(strategy.federation.stage, number, sorted(requests), names=strategy.names)
        self.callback.on_round_start(account)
        exchange = self._exchange()
        self._ask(exchange, account, requests)
        if len(account.replies) < strategy.federation.replies_needed:
            again = sorted(account.failures)
            log(WARNING, "Round %d: clients %s are asked once more.", number, again)
            account.retried, account.failures = account.failures, {}
            self._ask(exchange, account, strategy.requests(number, again))
        account.waiting = exchange.waiting
        strategy.require_replies(number, account.failures)
        account.loss = mean_loss(account.replies, strategy.weight)
        strategy.close_round(number)
        account.step_ratio = strategy.step_ratio
        account.seconds = time.monotonic() - began
        self.callback.on_round_end(account, strategy.state)
        return account

    def _wait_for_sites(self) -> None:
        """Look which real sites are there; where any may join, wait for as many as are needed."""
        roster = self.strategy.federation.roster
        if roster is not None:
            roster.require(self.grid, self.timeout)

    def _exchange(self) -> Exchange:
        strategy = self.strategy
        return Exchange(self.grid, self.timeout, strategy.node_of, strategy.federation.roster)

    def _ask(
        self, exchange: Exchange, account: Round, requests: Mapping[int, ClientRequest]
    ) -> None:
        """Send requests and take in each reply, or note why it is left out."""
        contents = {client: request.pack() for client, request in requests.items()}
        account.bytes_down += sum(map(payload_bytes, contents.values()))
        for client, message in exchange.run(contents, MessageType.TRAIN, str(account.number)):
            try:
                if message is None:
                    raise RejectedMessage(exchange.late())
                reply = self.strategy.receive(client, message)
            except RejectedMessage as verdict:
                who = label(client, account.names)
                log(WARNING, "Round %d: %s is left out: %s", account.number, who, verdict)
                account.failures[client] = str(verdict)
                if isinstance(verdict, LostState):
                    self.strategy.forget(client)
                self.callback.on_reply(account, client, None)
                continue
            account.bytes_up += reply.num_bytes
            account.replies[client] = reply.metrics
            account.limited = self.strategy.limited
            self.callback.on_reply(account, client, reply)

    def _score(self, result: Result, score_global: ScoreGlobal | None) -> None:
        """Have the model scored: by the server, by each client with its private tensors, or both.

        Where real sites score the global model, the server may do so too.
        """
        state, personal = self.strategy.state, self.strategy.personal
        metrics = None
        if personal or self.ask_sites:
            metrics = self._score_clients(state.number)
        if score_global and not personal:
            served, residual = self.strategy.served(), self.strategy.residual()
            metrics = score_global(state.number, served, residual) or metrics
        if metrics is not None:
            result.evaluate_metrics_serverapp[state.number] = metrics
        state.scored = True
        self.callback.on_scored(state)

    def _score_clients(self, number: int) -> MetricRecord | None:
        """Each client's scores, told one by one, and what they come to together.

        For simulated clients that is their mean, which takes all of them. For real sites it is over
        all records of those that answer.
        """
        full = self.full_scores(number)
        if full is None:
            return None
        strategy = self.strategy
        self._wait_for_sites()
        requests = strategy.score_requests(number, full)
        exchange = self._exchange()
        replies: dict[int, ScoresReply] = {}
        failures: dict[int, str] = {}
        contents = {client: request.pack() for client, request in requests.items()}
        for client, message in exchange.run(contents, MessageType.EVALUATE, str(number)):
            try:
                if message is None:
                    raise RejectedMessage(exchange.late())
                reply = read_scores(message)
            except RejectedMessage as verdict:
                failures[client] = str(verdict)
                continue
            replies[client] = reply
            self._tell(number, f"client:{client}", reply.scores, reply.seconds, full)
        if failures and (strategy.federation.roster is None or not replies):
            raise unscored(number, failures, strategy.names)
        for client, reason in failures.items():
            log(WARNING, "Round %d: %s is not scored: %s", number, strategy.names[client], reason)
        seconds = sum(reply.seconds for reply in replies.values())
        if strategy.federation.roster is None:
            together = mean_scores([replies[client].scores for client in sorted(replies)])
            self._tell(number, "clients", together, seconds, full)
        else:
            together = pooled_scores(replies)
            self._tell(number, "sites", together, seconds, full)
        return ScoresReply(together, seconds).record()

    def _tell(self, number: int, where: str, scores: Scores, seconds: float, full: bool) -> None:
        stage, what = self.strategy.federation.stage, "test set" if full else "test sample"
        names = self.strategy.names
        self.callback.on_evaluated(
            Evaluation(stage, number, where, what, scores, seconds, full, names=names)
        )
