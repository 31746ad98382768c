"""What of a dataset may be wrong."""

from dataclasses import dataclass

from fedvlm_flwr.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The keys of every dataset that is read from files and checked."""

    allow_errors: int
    """Bad records that may be left out; one more refuses the dataset."""
    shared_pictures: str
    """Images that both the training and the test set of a task ask about: `refuse`, which makes
    those training records bad ones, or `allow`."""

    def __post_init__(self) -> None:
        if self.allow_errors < 0:
            raise ConfigError(
                f"dataset.allow_errors={self.allow_errors} must be 0 or more; change it."
            )
        if self.shared_pictures not in ("refuse", "allow"):
            raise ConfigError(
                f"dataset.shared_pictures='{self.shared_pictures}' is unknown; choose refuse or "
                "allow."
            )
