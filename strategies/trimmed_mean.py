"""Coordinate-wise trimmed mean (Yin et al. 2018, arXiv 1803.01498)."""

from dataclasses import dataclass, field

from flwr.serverapp.strategy import FedAvg, FedTrimmedAvg

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import setting
from strategies.core.federation import Federation
from strategies.core.stored import StoredParams, StoredReplies


@dataclass(frozen=True)
class Params(StoredParams):
    """How much is cut, and the memory for the replies."""

    beta: float = field(metadata=setting(least=0, below=0.5))
    """The part of the replies that is cut at each end; 0 is the unweighted mean."""


class TrimmedMean(StoredReplies):
    """Each number is the mean over the clients without the smallest and largest int(beta n).

    Their Definition 2, by Flower's FedTrimmedAvg. Unweighted: each client counts alike. Replies are
    stored until the round's end.

    Raises:
        ConfigError: with `min_replies` replies nothing would be cut.
    """

    params: Params

    def __init__(self, params: Params, federation: Federation) -> None:
        super().__init__(params, federation)
        if params.beta and not int(params.beta * federation.replies_needed):
            raise ConfigError(
                f"algorithm.beta={params.beta} cuts nothing from {federation.replies_needed} "
                "replies (min_replies); raise beta or the number of clients."
            )

    def stock(self) -> FedAvg:
        """Flower's FedTrimmedAvg."""
        return FedTrimmedAvg(beta=self.params.beta)
