"""A round of an algorithm: what its clients are sent, what their replies come to."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from logging import WARNING
from typing import Any

from flwr.app import ArrayRecord, Message
from flwr.common.logger import log

from fedvlm_flwr.adapters import PREVIOUS, cut, is_factor, is_residual
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.messages import (
    RejectedMessage,
    ScoresRequest,
    TrainMetrics,
    TrainReply,
    TrainRequest,
)
from fedvlm_flwr.messages.wire import pack
from strategies.base import RoundSteps
from strategies.core.adapter_rule import AdapterRule, require_rule
from strategies.core.deposits import Deposit, PackedDeposits, standing
from strategies.core.downlink import Downlink
from strategies.core.federation import Federation
from strategies.core.step import Step
from strategies.core.validation import Expected, read_reply, require_finite


class RoundMoves(RoundSteps):
    """The moves of a round, made of `RoundSteps` and of the rule for adapters.

    `begin` takes the initial tensors; then for each round `open_round` gives the requests,
    `receive` takes a reply, and `close_round` takes the server's step.

    Attributes:
        personal: whether trained tensors stay with the clients, who then score models of their own.
        rule: what is done with the adapters among the shared tensors.
        accepted: the metrics of the round's good replies, by client.
        limited: in words, by client, what of a good reply's numbers does not count.
        step_ratio: the last server step's length over the clients' mean change, see `Step`.
    """

    def __init__(self, params: Any, federation: Federation) -> None:
        super().__init__(params, federation)
        self.personal = False
        self.rule = AdapterRule(params, federation)
        self.accepted: dict[int, TrainMetrics] = {}
        self._record: ArrayRecord | None = None  # the served tensors as they were handed out last
        self._down = Downlink(federation)
        self._deposits: dict[str, Deposit] = {}
        self._packed_deposits = PackedDeposits()
        self._sending: dict[int, dict[str, int]] = {}  # what a client holds that has its request
        self._data: dict[int, tuple[int, ...]] = {}  # of the round's cohort
        self.limited: dict[int, str] = {}
        self.step_ratio: float | None = None
        self._examples = federation.examples

    @property
    def name(self) -> str:
        """The module of the algorithm: of the rule, where that is all there is to it."""
        own = type(self).__module__.rpartition(".")[2]
        return self.rule.name if own == "flower" else own

    def adopt(self, rule: AdapterRule) -> None:
        """Leave the adapters to a rule of their own.

        Raises:
            ConfigError: it has no meaning beside this algorithm; says why.
        """
        reason = self.no_adapters or ("" if rule.keeps_basis else self.needs_basis)
        if reason:
            raise ConfigError(
                f"algorithm.adapters={rule.name} cannot go with algorithm={self.name}: "
                f"{reason}; set it to null, or choose another algorithm, e.g. fedavg."
            )
        self.rule = rule

    def begin(self, trained: Arrays) -> None:
        """Start from the trained tensors; the algorithm's own state stays."""
        self.state.arrays = self.travels(trained)
        self.personal = self.keeps_models or len(self.state.arrays) < len(trained)
        self._require_rule()
        self._require_adapters_for_ranks(trained)
        self.rule.begin(self.state)
        self._record = None

    def travels(self, trained: Arrays) -> Arrays:
        """Which trained tensors are shared, by the algorithm and by the rule of its adapters."""
        return {n: v for n, v in self.shared(trained).items() if self.rule.travels(n)}

    def record(self) -> ArrayRecord:
        """The tensors that are scored and saved, packed once."""
        if self._record is None:
            self._record = pack(self.served())
        return self._record

    def residual(self) -> Arrays:
        """What goes with them: a frozen term beside the base, as factors by layer."""
        return self.rule.residual(self.state)

    def deposits(self) -> dict[str, Deposit]:
        """What clients keep between messages: the previous stages' result, and the rule's."""
        f = self.federation
        before = {PREVIOUS: Deposit(f.stage, f.previous)} if f.previous else {}
        own = self.rule.deposits(self.state)
        if self._down.short:  # what does not change is no part of a change
            own = {name: deposit for name, deposit in own.items() if is_residual(name)}
        return {**before, **own}

    def sent(self, client: int) -> Arrays:
        """The shared tensors that travel to a client with every message, at its rank.

        In a short number format these are all of which something has changed.
        """
        resting = standing(self.deposits())
        moving = {n: v for n, v in self.state.arrays.items() if n not in resting}
        return cut(moving, self.rule.rank_of(self.state, client))

    def trained(self) -> Arrays:
        """Those that the rule for adapters does not leave at rest."""
        return self._moving(self.state.number + 1)

    def _moving(self, server_round: int) -> Arrays:
        end = self.rule.resting(server_round)
        return {n: v for n, v in self.state.arrays.items() if not end or not n.endswith(end)}

    def expected(self, client: int, server_round: int) -> Arrays:
        """The shared tensors that a client trains in a round and sends back, as it gets them."""
        return cut(self._moving(server_round), self.rule.rank_of(self.state, client))

    def open_round(self, server_round: int) -> dict[int, TrainRequest]:
        """Begin a round: the request to each client of its cohort, all with the same tensors."""
        self._look()
        self.examples = self.federation.examples or self._examples
        self.accepted, self.limited, self._sending = {}, {}, {}
        self._publish()
        self.begin_round()
        self.rule.begin_round(self.state)
        self._data = self.choose(server_round)
        self.limit = self.federation.weight_limit(self.examples, self._data)
        return self.requests(server_round, self._data)

    def requests(self, server_round: int, clients: Iterable[int]) -> dict[int, TrainRequest]:
        """The requests to clients of the round's cohort."""
        return {
            client: TrainRequest(
                **self._address(client, server_round, extra=True), data=self._data[client]
            )
            for client in sorted(clients)
        }

    def forget(self, client: int) -> None:
        """Send a client everything with its next request: it has lost something of what it kept."""
        self.state.holds.pop(client, None)

    def receive(self, client: int, message: Message) -> TrainReply:
        """Take in a client's reply.

        Raises:
            RejectedMessage: it cannot be used, and the round is as if it had not come.
        """
        if client in self.accepted:
            raise RejectedMessage("it has answered already")
        limit = self.federation.max_update_norm
        expected = self.expected(client, self.state.number + 1)
        form = Expected(expected, self.expected_extra(), limit, changes=self._down.short)
        reply = read_reply(message, form)
        metrics = self.limit.bounded(reply.metrics, by_steps=self.by_steps)
        counted = replace(reply, metrics=metrics)
        pairs = self._pairs(reply.arrays)
        others = {name: values for name, values in reply.arrays.items() if name not in pairs}
        self.accumulate(client, replace(counted, arrays=others))
        if pairs:
            self.rule.accumulate(client, pairs, self.weight(metrics))
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
        state = self.state
        aggregate = self.aggregate()
        before = {name: state.arrays[name] for name in aggregate}
        after = dict(self.server_step(server_round, before, aggregate))
        if pairs := self._pairs(state.arrays):
            after |= self.rule.step(state, server_round, pairs)
        try:
            require_finite(after | state.server)
        except RejectedMessage as verdict:
            raise RunError(
                f"After the server step of round {server_round} {verdict}; lower the algorithm's "
                "server step size or train.lr."
            ) from verdict
        own = {name: after[name] for name in before}
        step = Step.of(before, aggregate, own, self.federation.max_step_ratio)
        self.step_ratio = step.ratio
        if step.words:
            log(WARNING, "Round %d: %s", server_round, step.words)
        state.arrays = state.arrays | after | step.arrays
        self._record = None
        state.holds |= {client: self._sending[client] for client in self.accepted if self._sending}
        savers = [client for client, metrics in self.accepted.items() if metrics.saved_state]
        state.saved_rounds |= dict.fromkeys(savers, server_round)
        state.number, state.scored = server_round, False

    def score_requests(self, server_round: int, full: bool) -> dict[int, ScoresRequest]:
        """The request to every client to score its own model; of real sites, the shared one too."""
        self._look()
        self._publish()
        return {
            client: ScoresRequest(**self._address(client, server_round, extra=False), full=full)
            for client in self.federation.candidates
        }

    def _publish(self) -> None:
        self._deposits, self._packed_deposits = self.deposits(), PackedDeposits()
        self._down.publish(self.state, self.broadcast())

    def _address(self, client: int, server_round: int, *, extra: bool) -> dict[str, Any]:
        """What every request to a client holds."""
        f, state = self.federation, self.state
        rank, holds = self.rule.rank_of(state, client), state.holds.get(client, {})
        numbers = {name: deposit.number for name, deposit in self._deposits.items()}
        if sending := numbers | self._down.numbers(rank):
            self._sending[client] = sending
        sent = partial(self.sent, client)
        return {
            "client": client,
            "site": f.roster.names[client] if f.roster else "",
            "stage": f.stage,
            "round": server_round,
            "state_round": state.saved_rounds.get(client, 0),
            "run": f.run,
            "session": f.session,
            "uses": " ".join(f"{name}:{each.number}" for name, each in self._deposits.items()),
            "resting": self.rule.resting(server_round),
            "deposits": self._packed_deposits.lacking(self._deposits, holds),
            **self._down.address(state, rank, holds, sent, extra=extra),
        }

    def _pairs(self, arrays: Arrays) -> Arrays:
        """The factors among arrays, where the rule has them; the base rule has the others."""
        return {n: v for n, v in arrays.items() if self.rule.combines and is_factor(n)}

    def _look(self) -> None:
        """See which real sites are there."""
        self.federation = self.rule.federation = self.federation.at_hand()
        if self.federation.has_mixed_ranks:
            self._require_rule()

    def _require_rule(self) -> None:
        """Refuse adapters that cannot be aggregated, in the name of what has them.

        Raises:
            ConfigError: says why.
        """
        beside = type(self.rule) is not AdapterRule and self.name != self.rule.name
        choice = f"algorithm.adapters={self.rule.name}" if beside else f"algorithm={self.name}"
        require_rule(self.rule, choice, self.state.arrays)

    def _require_adapters_for_ranks(self, trained: Arrays) -> None:
        """Refuse ranks of clients whose adapters are none of the server's: nothing cuts them.

        Raises:
            ConfigError: all trained adapters stay with the clients, and ranks differ.
        """
        if not self.federation.has_mixed_ranks or any(map(is_factor, self.state.arrays)):
            return
        if any(map(is_factor, trained)):
            raise ConfigError(
                "Clients' ranks differ, but their adapters stay with the clients, at the server's "
                "rank; set tuning.lora.rank_of=null and no lora-rank at a site, or share the llm."
            )
