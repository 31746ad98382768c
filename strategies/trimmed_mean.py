"""Coordinate-wise trimmed mean (Yin et al. 2018, arXiv 1803.01498)."""

from dataclasses import dataclass

from flwr.serverapp.strategy import FedAvg, FedTrimmedAvg

from fedvlm_flwr.errors import ConfigError
from strategies.base import Loop
from strategies.core.hooks import ClientHook
from strategies.core.kept import KeptParams, KeptReplies


@dataclass(frozen=True)
class Params(KeptParams):
    """`beta`: the part of the replies that is cut at each end; 0 is the unweighted mean."""

    beta: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta < 0.5:
            raise ConfigError(f"algorithm.beta={self.beta} must lie in [0, 0.5).")


class Algorithm(KeptReplies):
    """Each number is the mean over the clients without the smallest and largest int(beta n).

    Their Definition 2, by Flower's FedTrimmedAvg. Unweighted: each client counts alike. Replies are
    kept until the round's end.

    Raises:
        ConfigError: with `min_replies` replies nothing would be cut.
    """

    params: Params

    def __init__(self, params: Params, loop: Loop) -> None:
        super().__init__(params, loop)
        if params.beta and not int(params.beta * loop.min_replies):
            raise ConfigError(
                f"algorithm.beta={params.beta} cuts nothing from {loop.min_replies} replies "
                "(min_replies); raise beta or the number of clients."
            )

    def stock(self) -> FedAvg:
        """Flower's FedTrimmedAvg."""
        return FedTrimmedAvg(beta=self.params.beta)


class Hook(ClientHook):
    """Plain local training."""
