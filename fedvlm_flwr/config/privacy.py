"""What of a real site may leave it."""

from dataclasses import dataclass, field

from fedvlm_flwr.settings import setting


@dataclass(frozen=True)
class Privacy:
    """Limits that a site keeps by itself; a simulation has none to keep."""

    min_examples: int = field(metadata=setting(least=1, most=1_000_000))
    """Records below which a real site tells nothing that is counted or scored over them: with
    fewer training records it takes no part, with fewer of a task it does not score that."""
