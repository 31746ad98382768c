"""The facts of a federation that a strategy needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from statistics import median_low
from typing import Any, Self
from uuid import uuid4

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config, Train
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.schedule import lr_ratio, steps_of
from strategies.core.roster import Roster
from strategies.core.weights import Cohort, WeightLimit


def constant(server_round: int) -> float:
    """A learning rate that is the same in every round."""
    return 1.0


@dataclass(frozen=True)
class Federation:
    """Who takes part, what travels, and what is refused.

    Attributes:
        num_clients: how many clients there are, numbered from 0; of real sites that may join in
            any round, how many there have been.
        ranks: of the clients' adapters, in turn; None: all have the server's.
        quantized: whether the base is held in 4 or 8 bits.
        present: the clients that are there in a round; None: all.
        clients_per_round: the cohort's size; None: everybody.
        min_replies: fewer good replies than this end the run; None: the whole cohort.
        seed: of the draw of cohorts.
        stage: of the tuning, from 0.
        wire_dtype: `float32` or `bfloat16`, of the arrays in messages.
        max_update_norm: a reply further than this from the shared tensors (L2 over all of them)
            is left out; None: any distance.
        weighting: whether clients count by their `examples`, or are `uniform`.
        max_weight_share: times the cohort's median number of examples that a client may weigh;
            None: any weight.
        max_step_ratio: how long a server's step may be, times the clients' mean change; None: any
            length.
        lr_ratio: the clients' learning rate in a round, as a part of that in the first.
        local_training: the clients' local optimization, from which their steps follow; None: it is
            not known, and any number of steps counts.
        share: the parts whose trained tensors travel; None: all.
        previous: the previous stages' result; each client is sent it once, in its first message.
        run: the run's id, under which sites save their private state; a new one.
        session: by which simulated clients find the run's folder, see `ClientRequest`.
        nodes: node id by client, when they are known already; asked for otherwise.
        examples: training examples by client, where the nodes are known already.
        roster: the real sites, where the clients are such; None: they are simulated.
    """

    num_clients: int
    clients_per_round: int | None = None
    min_replies: int | None = None
    seed: int = 0
    stage: int = 0
    wire_dtype: str = "float32"
    max_update_norm: float | None = None
    weighting: str = "examples"
    max_weight_share: float | None = None
    max_step_ratio: float | None = None
    lr_ratio: Callable[[int], float] = constant
    local_training: Train | None = None
    share: tuple[str, ...] | None = None
    previous: Arrays = field(default_factory=dict)
    run: str = field(default_factory=lambda: uuid4().hex)
    session: str = ""
    nodes: dict[int, int] | None = None
    examples: dict[int, int] = field(default_factory=dict)
    roster: Roster | None = None
    present: tuple[int, ...] | None = None
    ranks: tuple[int, ...] | None = None
    quantized: bool = False

    @classmethod
    def of(cls, config: Config, stage: int = 0, **more: Any) -> Self:
        """The federation of a configuration's stage.

        Args:
            more: what no configuration says (`previous`, `run`, `session`, `nodes`, `roster`).
        """
        return cls(
            num_clients=config.num_clients or len(config.sites or ()) or config.min_sites,
            clients_per_round=config.cohort_size,
            min_replies=config.min_replies,
            seed=config.seed,
            stage=stage,
            wire_dtype=config.wire.dtype,
            max_update_norm=config.max_update_norm,
            weighting=config.weighting,
            max_weight_share=config.max_weight_share,
            max_step_ratio=config.max_step_ratio,
            lr_ratio=partial(lr_ratio, config, stage),
            local_training=config.train,
            share=config.tuning.stages[stage].shared,
            ranks=config.tuning.lora.ranks,
            quantized=config.model.params.quantize is not None,
            **more,
        )

    def rank_of(self, client: int) -> int | None:
        """The rank of a client's adapters; None: the server's.

        A real site that has said its own has that one.
        """
        own = self.roster.rank_of(client) if self.roster else None
        return own or (self.ranks[client % len(self.ranks)] if self.ranks else None)

    @property
    def has_mixed_ranks(self) -> bool:
        """Whether some client may have another rank than the server."""
        return self.ranks is not None or bool(self.roster and self.roster.has_ranks)

    def at_hand(self) -> "Federation":
        """The same for the round that begins: with the sites that are there, where any may be."""
        roster = self.roster
        if roster is None:
            return self
        there = roster.present if roster.members.is_open else None
        return replace(
            self,
            num_clients=max(1, len(roster.names)),
            present=there,
            nodes={k: n for k in range(len(roster.names)) if (n := roster.node(k)) is not None},
            examples=roster.examples,
        )

    @property
    def candidates(self) -> tuple[int, ...]:
        """The clients that a round's cohort is drawn from."""
        return tuple(range(self.num_clients)) if self.present is None else self.present

    @property
    def cohort_size(self) -> int:
        """Clients that take part in a round."""
        there = len(self.candidates)
        return there if self.clients_per_round is None else self.clients_per_round

    def weight_limit(self, examples: Mapping[int, int], cohort: Cohort) -> WeightLimit:
        """How much a client may weigh in a round, see `WeightLimit.of`.

        Raises:
            RunError: a member's number of examples is not known.
        """
        uniform = self.weighting == "uniform"
        if self.max_weight_share is None:
            return WeightLimit(uniform=uniform)
        steps = None if self.local_training is None else partial(steps_of, self.local_training)
        return WeightLimit.of(self.max_weight_share, examples, cohort, steps, uniform=uniform)

    def all_weights(self, examples: Mapping[int, int]) -> dict[int, float]:
        """What every client weighs, whether it is in a cohort or not.

        The same in every round: a mean over clients of which each round adds some keeps its sense.

        Args:
            examples: training examples by client, as said before the first round. Of them
                `max_weight_share` times the median of all clients count at most.

        Raises:
            RunError: a client's number of examples is not known.
        """
        everybody = range(self.num_clients)
        if self.weighting == "uniform":
            return dict.fromkeys(everybody, 1.0)
        if missing := [client for client in everybody if examples.get(client, 0) < 1]:
            raise RunError(
                "weighting=examples needs every client's number of examples, and that of client "
                f"{missing[0]} is not known; update its app or choose weighting=uniform."
            )
        share = self.max_weight_share
        most = inf if share is None else share * median_low(examples[k] for k in everybody)
        return {client: min(float(examples[client]), most) for client in everybody}

    @property
    def replies_needed(self) -> int:
        """Good replies without which a round fails; one at least."""
        size = min(self.cohort_size, len(self.candidates))
        return max(1, size if self.min_replies is None else self.min_replies)
