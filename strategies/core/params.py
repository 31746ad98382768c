"""What the parameters of every algorithm are."""

from dataclasses import dataclass, fields

from fedvlm_flwr.settings import facts_of


@dataclass(frozen=True)
class AlgorithmParams:
    """The keys of an algorithm's YAML beside its name; none, where a subclass adds none.

    Raises:
        ConfigError: a value is out of the range that its field states.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            facts_of(each).check(getattr(self, each.name), f"algorithm.{each.name}")
