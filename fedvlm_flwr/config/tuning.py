"""What of a model is trained and shared: the adapter's size and the stages of a tuning."""

import re
from dataclasses import dataclass, field

from fedvlm_flwr.config.checks import require
from fedvlm_flwr.settings import setting

PART_MODES = ("frozen", "lora", "full")


HIGHEST_RANK = 8192
INITS = ("default", "gaussian", "pissa", "olora")
FROM_THE_BASE = ("pissa", "olora")  # inits that take the adapter's product out of the base's weight


@dataclass(frozen=True)
class Lora:
    """The low-rank adapters of the LLM (Hu et al. 2021, arXiv 2106.09685)."""

    r: int = field(metadata=setting(least=1, most=HIGHEST_RANK))
    """Rank of the two matrices of each adapter."""
    alpha: float = field(metadata=setting(above=0, most=1e6))
    """Scale: an adapter's output is multiplied by alpha / r, whatever rank a client has."""
    dropout: float = field(metadata=setting(least=0, below=1))
    """Part of an adapter's inputs that are set to 0 in training."""
    targets: list[str] | None
    """Last names of the linear layers that take an adapter; null: all of the LLM but the head."""
    target_pattern: str | None = None
    """The same by one regular expression on a layer's whole name in the LLM; null: by `targets`."""
    rank_of: list[int] | None = field(default=None, metadata=setting(least=1, most=HIGHEST_RANK))
    """Ranks of the clients, in turn, r at most: `[2, 4, 8]`; null: all have r."""
    rank_pattern: dict[str, int] | None = field(
        default=None, metadata=setting(least=1, most=HIGHEST_RANK)
    )
    """Ranks of layers by regular expressions on a layer's name in the LLM; null: all have r."""
    use_rslora: bool = False
    """Multiply it by alpha / sqrt(r) instead (Kalajdzievski 2023, arXiv 2312.03732)."""
    use_dora: bool = False
    """Learn each row's length beside its direction (Liu et al. 2024, arXiv 2402.09353)."""
    init: str = field(default="default", metadata=setting(choices=INITS))
    """How A and B start: default (A random, B zero), gaussian, pissa or olora (from the base)."""

    def __post_init__(self) -> None:
        require(
            self.targets is None or len(self.targets) > 0,
            "tuning.lora.targets=[] adapts nothing; name layers, or set it to null for all.",
        )
        require(
            self.targets is None or self.target_pattern is None,
            "tuning.lora.targets and tuning.lora.target_pattern both say which layers take an "
            "adapter; set one of them to null.",
        )
        require_ranks("tuning.lora.rank_of", self.rank_of, self.r)
        require(
            self.rank_of is None or self.init not in FROM_THE_BASE,
            f"tuning.lora.init={self.init} takes the whole product of rank r out of the base, and "
            "clients of a smaller rank would put only a part of it back; set tuning.lora.rank_of "
            "to null, or init to default or gaussian.",
        )
        require_ranks("tuning.lora.rank_pattern", list((self.rank_pattern or {}).values()) or None)
        for key, pattern in [
            ("target_pattern", self.target_pattern or ""),
            *(("rank_pattern", pattern) for pattern in self.rank_pattern or ()),
        ]:
            require_pattern(f"tuning.lora.{key}", pattern)

    @property
    def ranks(self) -> tuple[int, ...] | None:
        """The clients' ranks in turn; None: all have the server's."""
        return None if self.rank_of is None else tuple(self.rank_of)


def require_ranks(key: str, ranks: list[int] | None, most: int = HIGHEST_RANK) -> None:
    """Refuse ranks that no adapter can have.

    Raises:
        ConfigError: a rank is not in [1, most], or there is none.
    """
    require(ranks is None or len(ranks) > 0, f"{key}=[] names no rank; set it to null.")
    for rank in ranks or ():
        require(1 <= rank <= most, f"{key} holds the rank {rank}, which must be in [1, {most}].")


def require_pattern(key: str, pattern: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        ConfigError: says what is wrong with it.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        require(False, f"{key}={pattern!r} is no regular expression ({error}); mend it.")


@dataclass(frozen=True)
class Stage:
    """One run of the round loop."""

    train: dict[str, str] = field(metadata=setting(choices=PART_MODES))
    """How each part (vision, connector, llm) is trained: frozen, lora or full; absent: frozen."""
    share: list[str] | None = None
    """The trained parts that travel to the server, the others stay with each client; null: all."""
    num_rounds: int | None = field(default=None, metadata=setting(least=1, most=1_000_000))
    """Federated rounds of the stage; null: those of the run."""
    lr: float | None = field(default=None, metadata=setting(above=0, most=1000))
    """Learning rate of the stage; null: that of the run."""

    def __post_init__(self) -> None:
        require(
            any(mode != "frozen" for mode in self.train.values()),
            f"tuning.stages.train={self.train} trains nothing; set a part to lora or full.",
        )
        require(
            self.train.get("vision", "frozen") == "frozen",
            "tuning.stages.train.vision must be frozen: picture features are computed only once.",
        )
        require(
            self.train.get("connector") != "lora",
            "tuning.stages.train.connector=lora is not offered; use full or frozen.",
        )
        require(
            self.share is None or (len(self.share) > 0 and set(self.share) <= set(self.trained)),
            f"tuning.stages.share={self.share} must name parts that the stage trains "
            f"({', '.join(self.trained)}); for none at all choose algorithm=local.",
        )

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

    name: str = field(metadata=setting(name=True))
    """The YAML's name, for messages and reports."""
    lora: Lora
    """The adapters, where a stage trains a part by `lora`."""
    stages: list[Stage]
    """Each starts from the shared result of the one before."""

    def __post_init__(self) -> None:
        require(bool(self.stages), "tuning.stages is empty; a tuning needs one stage or more.")
        for number, stage in enumerate(self.stages):
            private = [part for part in stage.trained if part not in stage.shared]
            require(
                len(self.stages) == 1 or not private,
                f"tuning.stages.{number} keeps {private} private, but what one stage leaves with "
                "the clients never reaches the next; share it, or use a single stage.",
            )
        for part, modes in self.modes.items():
            require(
                len(modes) == 1,
                f"tuning.stages trains {part} as {' and as '.join(sorted(modes))}; choose one of "
                "the two in all stages.",
            )

    @property
    def modes(self) -> dict[str, set[str]]:
        """How each trained part is trained, over all stages; one way each in a good tuning."""
        modes: dict[str, set[str]] = {}
        for stage in self.stages:
            for part, mode in stage.trained.items():
                modes.setdefault(part, set()).add(mode)
        return modes
