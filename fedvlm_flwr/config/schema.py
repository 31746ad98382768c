"""The typed, frozen configuration of a run; `conf/` holds every value."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedvlm_flwr.errors import ConfigError

PART_MODES = ("frozen", "lora", "full")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, f"{key}='{value}' is unknown; choose one of: {', '.join(choices)}.")


def _positive(key: str, value: float | None) -> None:
    _require(
        value is None or 0 < value < math.inf, f"{key}={value} must be finite and greater than 0."
    )


@dataclass(frozen=True)
class Choice:
    """A named choice (model, algorithm, dataset, partition) with the parameters of its YAML.

    `kind` is the module that implements it; the module's own `Params` dataclass checks `params`.
    """

    name: str
    kind: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Lora:
    """Rank, scale and dropout of the LLM's low-rank adapters (Hu et al. 2021), and their places.

    `targets` names the linear layers that take one; null: all of the LLM but the head.
    """

    r: int
    alpha: float
    dropout: float
    targets: list[str] | None

    def __post_init__(self) -> None:
        _positive("tuning.lora.r", self.r)
        _positive("tuning.lora.alpha", self.alpha)
        _require(0 <= self.dropout < 1, f"tuning.lora.dropout={self.dropout} must be in [0, 1).")
        _require(
            self.targets is None or len(self.targets) > 0,
            "tuning.lora.targets=[] adapts nothing; name layers, or set it to null for all.",
        )


@dataclass(frozen=True)
class Stage:
    """One run of the round loop: how each part is trained (`frozen | lora | full`).

    Attributes:
        share: the trained parts that travel to the server; the others stay with each client. None:
            all of them.
        num_rounds, lr: the stage's own; None: those of the run.
    """

    train: dict[str, str]
    share: list[str] | None = None
    num_rounds: int | None = None
    lr: float | None = None

    def __post_init__(self) -> None:
        for part, mode in self.train.items():
            _one_of(f"tuning.stages.train.{part}", mode, PART_MODES)
        _require(
            any(mode != "frozen" for mode in self.train.values()),
            f"tuning.stages.train={self.train} trains nothing; set a part to lora or full.",
        )
        _require(
            self.train.get("vision", "frozen") == "frozen",
            "tuning.stages.train.vision must be frozen: picture features are computed only once.",
        )
        _require(
            self.train.get("connector") != "lora",
            "tuning.stages.train.connector=lora is not offered; use full or frozen.",
        )
        _require(
            self.share is None or (len(self.share) > 0 and set(self.share) <= set(self.trained)),
            f"tuning.stages.share={self.share} must name parts that the stage trains "
            f"({', '.join(self.trained)}); for none at all choose algorithm=local.",
        )
        _positive("tuning.stages.num_rounds", self.num_rounds)
        _positive("tuning.stages.lr", self.lr)

    @property
    def shared(self) -> tuple[str, ...]:
        """The trained parts that travel."""
        return tuple(self.trained if self.share is None else self.share)

    @property
    def trained(self) -> dict[str, str]:
        """The parts that are trained, with their mode."""
        return {part: mode for part, mode in self.train.items() if mode != "frozen"}


@dataclass(frozen=True)
class Tuning:
    """A fine-tuning strategy: its stages, run one after the other, and the adapter's size."""

    name: str
    lora: Lora
    stages: list[Stage]

    def __post_init__(self) -> None:
        _require(bool(self.stages), "tuning.stages is empty; a tuning needs one stage or more.")
        for number, stage in enumerate(self.stages):
            kept = [part for part in stage.trained if part not in stage.shared]
            _require(
                len(self.stages) == 1 or not kept,
                f"tuning.stages.{number} keeps {kept} private, but what one stage leaves with the "
                "clients never reaches the next; share it, or use a single stage.",
            )
        for part, modes in self.modes.items():
            _require(
                len(modes) == 1,
                f"tuning.stages trains {part} as {' and as '.join(sorted(modes))}; choose one of "
                "the two in all stages.",
            )

    @property
    def modes(self) -> dict[str, set[str]]:
        """How each trained part is trained, over all stages; one way each in a good tuning."""
        found: dict[str, set[str]] = {}
        for stage in self.stages:
            for part, mode in stage.trained.items():
                found.setdefault(part, set()).add(mode)
        return found


@dataclass(frozen=True)
class Train:
    """The clients' local optimisation."""

    local_epochs: int | None
    local_steps: int | None
    batch_size: int
    accumulation: int
    optimizer: str
    lr: float
    min_lr: float
    schedule: str
    weight_decay: float
    max_grad_norm: float | None
    precision: str
    gradient_checkpointing: bool

    def __post_init__(self) -> None:
        _require(
            (self.local_epochs is None) != (self.local_steps is None),
            f"train.local_epochs={self.local_epochs} and train.local_steps={self.local_steps}: "
            "set exactly one of the two and the other to null.",
        )
        for key in ("local_epochs", "local_steps", "batch_size", "accumulation", "lr"):
            _positive(f"train.{key}", getattr(self, key))
        _positive("train.max_grad_norm", self.max_grad_norm)
        _require(
            0 <= self.min_lr <= self.lr, f"train.min_lr={self.min_lr} must lie in [0, train.lr]."
        )
        _require(
            self.weight_decay >= 0, f"train.weight_decay={self.weight_decay} must not be negative."
        )
        _one_of("train.optimizer", self.optimizer, ("adamw", "sgd"))
        _one_of("train.schedule", self.schedule, ("cosine", "constant"))
        _one_of("train.precision", self.precision, ("float32", "bfloat16"))


@dataclass(frozen=True)
class Eval:
    """When and how the global model is scored by generation."""

    every: int
    max_examples: int | None
    batch_size: int
    threads: int
    max_new_tokens: int
    shuffled: bool
    bootstrap: int

    def __post_init__(self) -> None:
        numbers = ("every", "max_examples", "batch_size", "threads", "max_new_tokens", "bootstrap")
        for key in numbers:
            _positive(f"eval.{key}", getattr(self, key))


@dataclass(frozen=True)
class Wire:
    """How arrays travel."""

    dtype: str

    def __post_init__(self) -> None:
        _one_of("wire.dtype", self.dtype, ("float32", "bfloat16"))


@dataclass(frozen=True)
class Engine:
    """What carries the messages, and each client process's share of the machine."""

    name: str
    cpus_per_client: int
    gpus_per_client: float
    threads: int
    device: str
    num_supernodes: int | None
    feature_megabytes: float
    features_on_disk: bool

    def __post_init__(self) -> None:
        _positive("engine.feature_megabytes", self.feature_megabytes)
        _one_of("engine.device", self.device, ("auto", "cpu", "cuda"))
        for key in ("cpus_per_client", "threads", "num_supernodes"):
            _positive(f"engine.{key}", getattr(self, key))
        _require(
            self.gpus_per_client >= 0,
            f"engine.gpus_per_client={self.gpus_per_client} must not be negative.",
        )


@dataclass(frozen=True)
class Config:
    """Everything a run is made of; equal on the server and on every client."""

    model: Choice
    algorithm: Choice
    dataset: Choice
    partition: Choice
    tuning: Tuning
    train: Train
    eval: Eval
    wire: Wire
    engine: Engine
    num_rounds: int
    num_clients: int
    clients_per_round: int | None
    client_fraction: float | None
    min_replies: int | None
    max_update_norm: float | None
    round_timeout: float
    seed: int
    output_dir: str | None
    run_name: str | None
    resume: str | None
    tensorboard: bool

    def __post_init__(self) -> None:
        for key in ("num_rounds", "num_clients", "clients_per_round", "min_replies"):
            _positive(key, getattr(self, key))
        for key in ("round_timeout", "max_update_norm", "client_fraction"):
            _positive(key, getattr(self, key))
        fraction = self.client_fraction
        _require(
            fraction is None or (fraction <= 1 and self.clients_per_round is None),
            f"client_fraction={fraction} must be at most 1 and go without clients_per_round="
            f"{self.clients_per_round}; set one of the two to null.",
        )
        _require(self.seed >= 0, f"seed={self.seed} must not be negative.")
        _require(
            self.cohort_size <= self.num_clients,
            f"clients_per_round={self.clients_per_round} is more than num_clients="
            f"{self.num_clients}; lower it.",
        )
        _require(
            self.replies_needed <= self.cohort_size,
            f"min_replies={self.min_replies} is more than the {self.cohort_size} clients of a "
            "round; lower it.",
        )
        name = self.run_name
        _require(
            name is None or not ({"/", "\\", "\0"} & set(name) or name in ("", ".", "..")),
            f"run_name='{name}' must be a plain folder name; choose the parent with output_dir.",
        )

    @property
    def cohort_size(self) -> int:
        """Clients that take part in a round: a number, a rounded fraction (at least 1) or all."""
        if self.client_fraction is not None:
            return max(1, round(self.client_fraction * self.num_clients))
        return self.clients_per_round or self.num_clients

    @property
    def replies_needed(self) -> int:
        """Good replies without which a round fails."""
        return self.min_replies or self.cohort_size

    def rounds_of(self, stage: int) -> int:
        """Rounds of a stage."""
        return self.tuning.stages[stage].num_rounds or self.num_rounds

    def rounds_before(self, stage: int) -> int:
        """Rounds of all earlier stages together."""
        return sum(self.rounds_of(earlier) for earlier in range(stage))

    @property
    def all_rounds(self) -> int:
        """Rounds of all stages together."""
        return self.rounds_before(len(self.tuning.stages))
