"""The clients' local optimization."""

from dataclasses import dataclass, field

from fedvlm_flwr.config.checks import require
from fedvlm_flwr.settings import setting


@dataclass(frozen=True)
class Train:
    """How a client trains in a round."""

    local_epochs: int | None = field(metadata=setting(least=1, most=10_000))
    """Passes over the client's examples in a round; null: `local_steps` says how long."""
    local_steps: int | None = field(metadata=setting(least=1, most=10**7))
    """Optimizer steps of a client in a round; null: `local_epochs` says how long."""
    batch_size: int = field(metadata=setting(least=1, most=65_536))
    """Examples in one forward and backward pass."""
    accumulation: int = field(metadata=setting(least=1, most=65_536))
    """Batches whose gradients are added for one optimizer step."""
    optimizer: str = field(metadata=setting(choices=("adamw", "sgd")))
    """adamw or sgd; its state is new in every round."""
    lr: float = field(metadata=setting(above=0, most=1000))
    """Learning rate of the first round."""
    min_lr: float = field(metadata=setting(least=0, most=1000))
    """Learning rate of the last round under the cosine schedule; at most `lr`."""
    schedule: str = field(metadata=setting(choices=("cosine", "constant")))
    """How the learning rate changes from round to round: cosine or constant."""
    weight_decay: float = field(metadata=setting(least=0, most=1000))
    """Of the optimizer, for each step, times the learning rate (AdamW: decoupled)."""
    max_grad_norm: float | None = field(metadata=setting(above=0, most=1e9))
    """Largest L2 norm of a step's gradient, which is scaled down to it; null: no clipping."""
    precision: str = field(metadata=setting(choices=("float32", "bfloat16")))
    """Of the forward pass in training: float32, or bfloat16 by autocast."""
    gradient_checkpointing: bool
    """Keep each layer's input only and compute the rest again: less memory, more time."""

    def __post_init__(self) -> None:
        require(
            (self.local_epochs is None) != (self.local_steps is None),
            f"train.local_epochs={self.local_epochs} and train.local_steps={self.local_steps}: "
            "set exactly one of the two and the other to null.",
        )
        require(self.min_lr <= self.lr, f"train.min_lr={self.min_lr} must lie in [0, train.lr].")
