"""When and how the global model is scored."""

from dataclasses import dataclass, field

from fedvlm_flwr.config.checks import require
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import available
from fedvlm_flwr.settings import TOKENS, carrier, setting


@dataclass(frozen=True)
class Eval:
    """Scoring by generation, on the global test set."""

    where: str = field(metadata=setting(choices=("server", "sites", "both")))
    """Whose records the global model is scored on: the server's test set, the held-out share of
    each real site, or both."""
    split: str = field(metadata=setting(choices=("test", "validation")))
    """The records that are scored; settings are chosen by the `validation` ones, so that the test
    set stays unseen until the end."""
    validation_fraction: float = field(metadata=setting(above=0, below=1))
    """With split=validation or keep=best, of a dataset without validation records: the part of the
    training pictures that is held out for them, a part of each client's; no client trains on it."""
    keep: str = field(metadata=setting(choices=("last", "best")))
    """Whose model a stage ends with: the last round's, or that of the round that is best on
    validation records."""
    keep_by: str | None
    """With keep=best, the score that decides, as `task.metric`; null: the headline of the only
    task."""
    patience: int | None = field(metadata=setting(least=1, most=1_000_000))
    """With keep=best, scored rounds without a better one after which a stage ends; null: it goes
    through all its rounds."""
    every: int = field(metadata=setting(least=1, most=1_000_000))
    """Score after every n-th round, beside before the first and after the last."""
    max_examples: int | None = field(metadata=setting(least=1, most=10**9))
    """Test examples of a task, a seeded sample, for rounds in between; null: all of them."""
    batch_size: int = field(metadata=setting(least=1, most=65_536))
    """Questions that are answered at once."""
    threads: int = field(metadata=setting(least=1, most=1024))
    """CPU threads of torch in the server's process while it scores."""
    spread: bool | None
    """Whether simulated clients answer for the server, each a part of the questions; null: where
    they are processes of their own, which are idle otherwise (engine=ray)."""
    max_new_tokens: int | None = field(metadata=setting(least=1, most=TOKENS))
    """Tokens after which an answer is ended; as a rule the dataset's `answer_tokens`. Null: the
    length that 99.5 % of the right answers do not exceed."""
    shuffled: bool
    """Whether the final model is also scored on images that belong to other questions."""
    conventions: list[str]
    """Papers by whose conventions answers are scored too, as `<convention>_<metric>`; as a rule the
    dataset's `conventions`."""
    headlines: dict[str, str] = field(metadata=carrier())
    """The metric that tables show, by task, e.g. {vqa: vqav2_accuracy}; of others it is the task's
    own. As a rule the dataset's `headlines`."""
    bootstrap: int = field(metadata=carrier(least=1, most=100_000))
    """Resamples behind each 95 % confidence interval."""

    def __post_init__(self) -> None:
        require(
            self.keep == "best" or (self.keep_by, self.patience) == (None, None),
            f"eval.keep_by={self.keep_by} and eval.patience={self.patience} go with "
            "eval.keep=best; set them to null, or keep to best.",
        )
        require(
            self.keep == "last" or self.split == "test",
            "eval.keep=best chooses by validation records, which eval.split=validation scores at "
            "the end too; choose one of the two.",
        )
        require(
            self.keep == "last" or self.where != "sites",
            "eval.keep=best needs validation records at the server, and eval.where=sites has none "
            "there; set eval.keep=last.",
        )
        for key, words, package in (
            ("conventions", self.conventions, "fedvlm_flwr.tasks.conventions"),
            ("headlines", self.headlines, "fedvlm_flwr.tasks"),
        ):
            for word in words:
                if word not in available(package):
                    raise ConfigError(
                        f"eval.{key} names '{word[:80]}'; choose one of: "
                        f"{', '.join(available(package))}."
                    )
