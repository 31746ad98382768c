"""For algorithms that must see all replies of a round at once."""

from dataclasses import dataclass

from flwr.serverapp.strategy import FedAvg

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.wire import Arrays
from strategies.base import FederatedStrategy, Loop
from strategies.core.replies import Reply
from strategies.core.stock import combine_stock


@dataclass(frozen=True)
class KeptParams:
    """`max_gigabytes`: what the kept replies of a round may take in the server's memory."""

    max_gigabytes: float

    def __post_init__(self) -> None:
        if not self.max_gigabytes > 0:
            raise ConfigError(f"algorithm.max_gigabytes={self.max_gigabytes} must be above 0.")


class KeptReplies(FederatedStrategy):
    """Keeps every reply of a round until its end; memory grows with the cohort, up to a bound.

    Combining them takes a few times that for a moment, since Flower's classes copy what they get.

    Each client counts alike, however many examples it has: a weight would be one more thing for a
    hostile client to lie about. One of Flower's classes combines the replies, in the order of their
    clients, so that the result does not depend on who came first.
    """

    params: KeptParams

    def __init__(self, params: KeptParams, loop: Loop) -> None:
        super().__init__(params, loop)
        self._kept: dict[int, Arrays] = {}

    def stock(self) -> FedAvg:
        """Flower's strategy."""
        raise NotImplementedError

    def shared(self, trained: Arrays) -> Arrays:
        """Those of the tuning, if a cohort of them fits.

        Raises:
            ConfigError: it does not; says what would.
        """
        shared = super().shared(trained)
        size = self.loop.cohort_size * sum(values.nbytes for values in shared.values()) / 1e9
        if size > self.params.max_gigabytes:
            raise ConfigError(
                f"{type(self).__module__.rpartition('.')[2]} keeps all {self.loop.cohort_size} "
                f"replies of a round, {size:.3g} GB, and algorithm.max_gigabytes="
                f"{self.params.max_gigabytes:g}; raise it or lower clients_per_round."
            )
        return shared

    def open_round(self) -> None:
        """Forget the last round's replies."""
        self._kept = {}

    def take(self, client: int, reply: Reply) -> None:
        """Keep the reply."""
        self._kept[client] = reply.arrays

    def combine(self) -> Arrays:
        """What Flower's class makes of the replies."""
        return combine_stock(self.stock(), self.in_order())

    def in_order(self) -> list[Arrays]:
        """The replies by client, no longer kept here."""
        return [self._kept.pop(client) for client in sorted(self._kept)]
