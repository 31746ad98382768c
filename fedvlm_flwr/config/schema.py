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
    """Rank, scale and dropout of the LLM's low-rank adapters (Hu et al. 2021)."""

    r: int
    alpha: float
    dropout: float

    def __post_init__(self) -> None:
        _positive("tuning.lora.r", self.r)
        _positive("tuning.lora.alpha", self.alpha)
        _require(0 <= self.dropout < 1, f"tuning.lora.dropout={self.dropout} must be in [0, 1).")


@dataclass(frozen=True)
class Stage:
    """One run of the round loop: how each part is trained (`frozen | lora | full`)."""

    train: dict[str, str]
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
        _positive("tuning.stages.num_rounds", self.num_rounds)
        _positive("tuning.stages.lr", self.lr)

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
        _require(
            len(self.stages) == 1,
            f"tuning.stages has {len(self.stages)} stages; this version runs exactly one.",
        )


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

    def __post_init__(self) -> None:
        for key in ("every", "max_examples", "batch_size", "threads", "max_new_tokens"):
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

    def __post_init__(self) -> None:
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
