"""The baseline without privacy: one model trained on the clients' pooled examples."""

from dataclasses import dataclass, replace

from fedvlm_flwr.wire import Arrays
from strategies.base import FederatedStrategy, Loop
from strategies.core.hooks import ClientHook


@dataclass(frozen=True)
class Params:
    """The baseline has no parameters."""


class Algorithm(FederatedStrategy):
    """Plain training on the pooled examples of the round's cohort, in as many steps as theirs.

    One client does the work of all, which only a simulation can: a site has no one else's examples
    and refuses.
    """

    def __init__(self, params: Params, loop: Loop) -> None:
        super().__init__(params, replace(loop, min_replies=1))

    def shared(self, trained: Arrays) -> Arrays:
        """All of them: there is one model only, of which nothing is anybody's own."""
        return trained

    def choose(self, server_round: int) -> dict[int, tuple[int, ...]]:
        """Client 0, with the examples of the whole cohort."""
        cohort = super().choose(server_round)
        return {0: tuple(sorted(cohort))}


class Hook(ClientHook):
    """Plain local training."""
