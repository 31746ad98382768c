"""The typed, frozen configuration of a run; `conf/` holds every value."""

from dataclasses import dataclass, field
from typing import Any

from fedvlm_flwr.config.carrying import Engine, Wire
from fedvlm_flwr.config.checks import require
from fedvlm_flwr.config.choice import Choice, DatasetParams, choice_of
from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.config.privacy import Privacy
from fedvlm_flwr.config.reporting import Reporting
from fedvlm_flwr.config.scoring import Eval
from fedvlm_flwr.config.training import Train
from fedvlm_flwr.config.tuning import Tuning
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import SEEDS, carrier, setting


@dataclass(frozen=True)
class Config:
    """Everything a run is made of; equal on the server and on every client."""

    model: Choice[Loading] = field(metadata=choice_of("model"))
    """The vision-language model; its keys are those of its kind."""
    algorithm: Choice[Any] = field(metadata=choice_of("algorithm"))
    """The federated algorithm; its keys are those of its module."""
    dataset: Choice[DatasetParams] = field(metadata=choice_of("dataset"))
    """The records; its keys are those of its kind."""
    partition: Choice[Any] = field(metadata=choice_of("partition"))
    """How training records are assigned to clients; its keys are those of its kind."""
    tuning: Tuning
    """What of the model is trained and shared, in which stages."""
    train: Train
    """The clients' local optimization."""
    eval: Eval
    """When and how the global model is scored."""
    wire: Wire
    """How arrays travel."""
    engine: Engine
    """What carries the messages."""
    settings: str = field(metadata=setting(choices=("shipped", "tuned", "published")))
    """Whose values the algorithm and the learning rate start from: of conf/algorithm and
    conf/train, of a search on `tiny_llava`, or of papers."""
    num_rounds: int = field(metadata=setting(least=1, most=1_000_000))
    """Federated rounds of each stage that does not set its own."""
    split_rounds: bool
    """Whether these are the rounds of all such stages together: an equal budget for any tuning."""
    privacy: Privacy
    """What of a real site may leave it."""
    num_clients: int | None = field(metadata=setting(least=1, most=100_000))
    """The federation's size: the training images are cut into so many parts; of real sites, how
    many are waited for. Null: whichever sites are there in a round."""
    sites: list[str] | None = field(metadata=setting(name=True))
    """The real sites that take part, by name; null: any."""
    min_sites: int = field(metadata=carrier(least=1, most=100_000))
    """Sites without which a round does not begin, where `num_clients` is null."""
    clients_per_round: int | None = field(metadata=setting(least=1, most=100_000))
    """Clients that take part in a round; null: all, or as `client_fraction` says."""
    client_fraction: float | None = field(metadata=setting(above=0, most=1))
    """Part of the clients that take part in a round, rounded to at least 1; null: all."""
    # With fewer replies a run may end that has begun, which is why it may be changed on a resume;
    # whose replies are in a mean can depend on it, which is why a report tells it apart.
    min_replies: int | None = field(metadata=setting(least=1, most=100_000, resume="free"))
    """Good replies without which a round fails; null: as many as clients take part."""
    max_update_norm: float | None = field(metadata=setting(above=0, most=1e12))
    """Largest L2 norm of a reply's update; others are left out; null: any norm."""
    weighting: str = field(metadata=setting(choices=("examples", "uniform")))
    """examples: clients count by their training examples; uniform: each alike. The robust rules
    count them alike whatever."""
    max_weight_share: float | None = field(metadata=setting(least=1, most=1e6))
    """Times the cohort's median number of examples that a client weighs at most; null: any."""
    max_step_ratio: float | None = field(metadata=setting(above=0, most=1e6))
    """Longest server step, times the clients' mean change (L2); longer ones are cut; null: any."""
    round_timeout: float = field(metadata=carrier(above=0, most=1e7))
    """Seconds to wait for the replies of a round."""
    seed: int = field(metadata=setting(least=0, most=SEEDS, report="replicate"))
    """Everything random is drawn from it."""
    output_dir: str | None = field(metadata=carrier(place=True, path=True))
    """The parent of run folders; null: $FEDVLM_RUNS, or `runs` where `fedvlm run` is called (of
    a bare `flwr run`: $FEDVLM_HOME/runs)."""
    run_name: str | None = field(metadata=carrier(place=True))
    """The run folder's name; null: the time and the choices."""
    resume: str | None = field(metadata=carrier(place=True, path=True))
    """A run folder to go on with (of a sweep: the sweep's folder); null: a new run."""
    report: Reporting
    """What shows the run while it goes on."""
    product_distance: bool
    """Whether each round tells how far the adapters' new product is from the mean of the clients';
    the server then stores the adapters of all replies of a round."""

    def __post_init__(self) -> None:
        self._require_sites()
        self._require_cohort()
        sharing = sum(stage.num_rounds is None for stage in self.tuning.stages)
        require(
            not self.split_rounds or self.num_rounds >= sharing,
            f"split_rounds=true leaves a stage without a round: num_rounds={self.num_rounds} for "
            f"{sharing} stages; raise it.",
        )
        name = self.run_name
        require(
            name is None or not ({"/", "\\", "\0"} & set(name) or name in ("", ".", "..")),
            f"run_name='{name}' must be a plain folder name; choose the parent with output_dir.",
        )

    def _require_cohort(self) -> None:
        fraction, size = self.client_fraction, self.cohort_size
        require(
            fraction is None or (fraction <= 1 and self.clients_per_round is None),
            f"client_fraction={fraction} must be at most 1 and go without clients_per_round="
            f"{self.clients_per_round}; set one of the two to null.",
        )
        require(
            self.num_clients is None or size is None or size <= self.num_clients,
            f"clients_per_round={self.clients_per_round} is more than num_clients="
            f"{self.num_clients}; lower it.",
        )
        require(
            size is None or self.min_replies is None or self.min_replies <= size,
            f"min_replies={self.min_replies} is more than the {size} clients of a round; lower it.",
        )

    def _require_sites(self) -> None:
        number, names, real = self.num_clients, self.sites, self.engine.real_sites
        simulated = f"engine={self.engine.name} simulates its clients"
        require(
            number is not None or (real and self.client_fraction is None),
            "num_clients=null takes whichever real sites are there (engine=superlink) and goes "
            f"without client_fraction, and {simulated}; give a number."
            if not real
            else "client_fraction goes without num_clients=null; set clients_per_round.",
        )
        require(real or names is None, f"sites names real sites, and {simulated}; set it to null.")
        require(
            real or self.eval.where == "server",
            f"eval.where={self.eval.where} has real sites score, and {simulated}; set it to "
            "server.",
        )
        require(
            not (real and self.eval.spread),
            "eval.spread has simulated clients answer the server's test questions, and real sites "
            "answer for nobody else; set it to false.",
        )
        require(
            names is None or number in (None, len(names)),
            f"num_clients={number}, but sites names {len(names or ())}; set num_clients to that, "
            "or to null.",
        )
        alone = self.algorithm.name == "central" and real
        require(
            not alone,
            "algorithm=central trains on pooled examples, which real sites do not hand over; "
            "choose another, or run it in a simulation.",
        )

    @property
    def fixed_clients(self) -> int:
        """How many clients there are, where that is fixed.

        Raises:
            ConfigError: it is not.
        """
        if self.num_clients is None:
            raise ConfigError(
                "num_clients=null takes whichever real sites are there; give a number to have this "
                "looked at beforehand."
            )
        return self.num_clients

    @property
    def cohort_size(self) -> int | None:
        """Clients that take part in a round: a number, a rounded fraction (at least 1) or all.

        None where the number of all is not fixed.
        """
        if self.client_fraction is not None:
            return max(1, round(self.client_fraction * self.fixed_clients))
        return self.clients_per_round or self.num_clients

    def rounds_of(self, stage: int) -> int:
        """Rounds of a stage."""
        own = self.tuning.stages[stage].num_rounds
        if own is not None or not self.split_rounds:
            return own or self.num_rounds
        sharing = [n for n, each in enumerate(self.tuning.stages) if each.num_rounds is None]
        part, more = divmod(self.num_rounds, len(sharing))
        return part + (sharing.index(stage) < more)

    def rounds_before(self, stage: int) -> int:
        """Rounds of all earlier stages together."""
        return sum(self.rounds_of(earlier) for earlier in range(stage))

    @property
    def all_rounds(self) -> int:
        """Rounds of all stages together."""
        return self.rounds_before(len(self.tuning.stages))
