"""How a dataset's answers are scored, and which score is shown."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The keys of every dataset that its scores go by; its tables do not depend on them."""

    conventions: list[str] = field(default_factory=list)
    """Papers by whose conventions its answers are scored too (`eval.conventions`)."""
    headlines: dict[str, str] = field(default_factory=dict)
    """The metric that tables show, by task (`eval.headlines`); of others it is the task's own."""
    labels: list[str] | None = None
    """The classes that records of the task classification may have, so that sites that spell them
    otherwise are told apart before the first round; null: any."""
