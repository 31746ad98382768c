"""The steps of a round that an algorithm may change; as they stand they are federated averaging."""

from collections.abc import Mapping
from typing import Any, ClassVar

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages import TrainMetrics, TrainReply
from strategies.core.client_hook import ClientHook
from strategies.core.cohort import choose_cohort
from strategies.core.federation import Federation
from strategies.core.running_mean import RunningMean
from strategies.core.state import ServerState
from strategies.core.weights import WeightLimit


class RoundSteps:
    """An algorithm: its parameters, these steps on the server, and a hook on the clients.

    The steps stand in the order in which a round calls them. `core.flower.FederatedStrategy`, of
    which every algorithm is a subclass, makes a Flower strategy of them: it validates each reply
    before `accumulate` sees it, and checks after `server_step` that every number is finite.

    Attributes:
        client_hook: the client half; plain local training.
        by_steps: whether the rule divides what a client sends by the steps that it took.
        keeps_models: whether each client has a model of its own beside the shared one.
        no_adapters: why a rule of their own for adapters has no meaning beside this; empty: it has.
        needs_basis: why one has none that turns the basis of the factors in a round; empty: it has.
        params: the values of the algorithm's YAML.
        federation: who takes part, and what travels.
        state: `arrays` are the shared tensors; the algorithm's own are `state.section(name)` and
            `state.replace_section(name, arrays)`, and are in every checkpoint.
        mean: the round's running mean of the clients' tensors.
        limit: how much a client may weigh in this round; replies come in with what counts.
        examples: training examples by client, as said before the first round, of those that tell.
    """

    client_hook: ClassVar[type[ClientHook]] = ClientHook
    by_steps: ClassVar[bool] = False
    keeps_models: ClassVar[bool] = False
    no_adapters: ClassVar[str] = ""
    needs_basis: ClassVar[str] = ""

    def __init__(self, params: Any, federation: Federation) -> None:
        self.params = params
        self.federation = federation
        self.state = ServerState({})
        self.mean = RunningMean()
        self.limit = WeightLimit()
        self.examples: Mapping[int, int] = {}

    def shared(self, trained: Arrays) -> Arrays:
        """Before the first round: which trained tensors travel. Those of the shared parts."""
        parts = self.federation.share
        return {n: v for n, v in trained.items() if parts is None or n.partition(".")[0] in parts}

    def trained(self) -> Arrays:
        """The shared tensors that clients train in the round that is open or comes next. All."""
        return self.state.arrays

    def choose(self, server_round: int) -> dict[int, tuple[int, ...]]:
        """The cohort; by member the clients whose examples it trains on. A seeded draw; its own."""
        f = self.federation
        cohort = choose_cohort(f.candidates, f.cohort_size, f.seed, f.stage, server_round)
        return {client: (client,) for client in cohort}

    def broadcast(self) -> Arrays:
        """What travels down beside the shared tensors, to `RoundInput.extra`. Nothing."""
        return {}

    def begin_round(self) -> None:
        """Before the first reply: forget the last round's. The running mean starts anew."""
        self.mean = RunningMean()

    def expected_extra(self) -> Arrays:
        """Names and shapes of what each client sends beside its tensors. Nothing."""
        return {}

    def accumulate(self, client: int, reply: TrainReply) -> None:
        """Take in one good reply, in order of arrival; each client comes once. Add to the mean.

        Its arrays are those that the clients train in this round, without adapters where a rule of
        their own has them (`core.adapter_rule`).

        Raises:
            RejectedMessage: this algorithm cannot use the reply; nothing of it may have been added.
        """
        self.mean.add(reply.arrays, self.weight(reply.metrics))

    def weight(self, metrics: TrainMetrics) -> float:
        """What a reply weighs in the round's mean: as `weighting` says, `limit` at most."""
        return self.limit.weight(metrics, by_steps=self.by_steps)

    def aggregate(self) -> Arrays:
        """What the good replies come to, one at least, in the shared tensors' place. Their mean."""
        return self.mean.result()

    def server_step(self, server_round: int, arrays: Arrays, aggregate: Arrays) -> Arrays:
        """The new tensors from the old ones (`arrays`) and the aggregate. The aggregate."""
        return aggregate

    def served(self) -> Arrays:
        """What is scored, saved and exported, also where another travels. The shared tensors."""
        return self.state.arrays
