"""The baseline without privacy: one model trained on the clients' pooled examples."""

from dataclasses import dataclass, replace

from fedvlm_flwr.arrays import Arrays
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams


@dataclass(frozen=True)
class Params(AlgorithmParams):
    """The baseline has no parameters."""


class Central(FederatedStrategy):
    """Plain training on the pooled examples of the round's cohort, in as many steps as theirs.

    One client does the work of all, which only a simulation can: a site has no one else's examples
    and refuses.
    """

    no_adapters = "there is one client, and nothing to aggregate"

    def __init__(self, params: Params, federation: Federation) -> None:
        super().__init__(params, replace(federation, min_replies=1))

    def shared(self, trained: Arrays) -> Arrays:
        """All of them: there is one model only, of which nothing is anybody's own."""
        return trained

    def choose(self, server_round: int) -> dict[int, tuple[int, ...]]:
        """Client 0, with the examples of the whole cohort."""
        cohort = super().choose(server_round)
        return {0: tuple(sorted(cohort))}
