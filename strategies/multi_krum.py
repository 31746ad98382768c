"""Multi-Krum (Blanchard et al. 2017, Machine Learning with Adversaries, arXiv 1703.02757)."""

from dataclasses import dataclass, field

from flwr.serverapp.strategy import FedAvg
from flwr.serverapp.strategy import MultiKrum as FlowerMultiKrum

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import setting
from strategies import krum
from strategies.core.federation import Federation


@dataclass(frozen=True)
class Params(krum.Params):
    """How many clients may be hostile, how many are averaged, and the memory for the replies."""

    num_selected: int = field(metadata=setting(least=1, most=100_000))
    """How many of the best replies are averaged; 1 is Krum."""


class MultiKrum(krum.Krum):
    """The mean of the m replies with the best scores of Krum (their section 4), by Flower's class.

    m is at most n - f - 2, as many as each reply is compared with: with more of them a hostile one
    may be among those that are averaged. Unweighted and stored as in Krum.

    Raises:
        ConfigError: see `Krum`; or `num_selected` is more than that.
    """

    params: Params

    def __init__(self, params: Params, federation: Federation) -> None:
        super().__init__(params, federation)
        most = min(federation.cohort_size, federation.replies_needed) - params.num_malicious - 2
        if params.num_selected > most:
            raise ConfigError(
                f"algorithm.num_selected={params.num_selected} is more than {most}, the good "
                f"replies of a round less num_malicious={params.num_malicious} and 2; lower it, or "
                "raise min_replies."
            )

    def stock(self) -> FedAvg:
        """Flower's MultiKrum."""
        return FlowerMultiKrum(
            num_malicious_nodes=self.params.num_malicious,
            num_nodes_to_select=self.params.num_selected,
        )
