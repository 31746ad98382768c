"""What is told of a run beside its files and its lines."""

from dataclasses import dataclass, field

from fedvlm_flwr.settings import carrier


@dataclass(frozen=True)
class Reporting:
    """What shows a run while it goes on."""

    live: bool = field(metadata=carrier())
    """Whether `fedvlm run` serves the run's growing report on this machine's loopback address."""
    port: int | None = field(metadata=carrier(least=1, most=65_535))
    """The port of that page; null: one that is free."""
    trackers: list[str] = field(metadata=carrier(name=True))
    """What else the server writes losses, costs and scores to: tensorboard, mlflow and wandb, each
    an extra of this package."""
