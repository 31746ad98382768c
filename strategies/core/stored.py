"""For algorithms that must see all replies of a round at once."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace

from flwr.serverapp.strategy import FedAvg

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.messages import TrainReply
from fedvlm_flwr.settings import setting
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy
from strategies.core.params import AlgorithmParams
from strategies.core.stock import aggregate_stock


@dataclass(frozen=True)
class StoredParams(AlgorithmParams):
    """The memory for the replies."""

    max_gigabytes: float = field(metadata=setting(above=0, most=1e6))
    """What the stored replies of a round may take in the server's memory, in GB."""


class StoredReplies(FederatedStrategy):
    """Stores every reply of a round until its end; memory grows with the cohort, up to a bound.

    Combining them takes a few times that for a moment, since Flower's classes copy what they get.

    Each client counts alike, whatever `weighting` says: a weight would be one more thing for a
    hostile client to lie about. One of Flower's classes combines the replies, in the order of their
    clients, so that the result does not depend on who came first.
    """

    params: StoredParams
    no_adapters = "it compares whole replies, number by number"

    def __init__(self, params: StoredParams, federation: Federation) -> None:
        super().__init__(params, replace(federation, weighting="uniform"))
        self._replies: dict[int, Arrays] = {}

    @abstractmethod
    def stock(self) -> FedAvg:
        """Flower's strategy."""

    def shared(self, trained: Arrays) -> Arrays:
        """Those of the tuning, if a cohort of them fits.

        Raises:
            ConfigError: it does not; says what would.
        """
        shared = super().shared(trained)
        size = self.federation.cohort_size * sum(values.nbytes for values in shared.values()) / 1e9
        if size > self.params.max_gigabytes:
            raise ConfigError(
                f"{type(self).__module__.rpartition('.')[2]} keeps all "
                f"{self.federation.cohort_size} replies of a round, {size:.3g} GB, and "
                f"algorithm.max_gigabytes={self.params.max_gigabytes:g}; raise it or lower "
                "clients_per_round."
            )
        return shared

    def begin_round(self) -> None:
        """Forget the last round's replies."""
        self._replies = {}

    def accumulate(self, client: int, reply: TrainReply) -> None:
        """Store the reply."""
        self._replies[client] = reply.arrays

    def aggregate(self) -> Arrays:
        """What Flower's class makes of the replies."""
        return aggregate_stock(self.stock(), self.in_order())

    def in_order(self) -> list[Arrays]:
        """The replies by client, no longer stored here."""
        return [self._replies.pop(client) for client in sorted(self._replies)]
