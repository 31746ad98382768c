"""For rules over adapters that must see all pairs of a round at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedvlm_flwr.adapters import Pair, is_factor, padded, pairs_in
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import setting
from strategies.core.adapter_rule import AdapterRule
from strategies.core.params import RuleParams
from strategies.core.state import ServerState

Terms = list[tuple[float, Pair]]


@dataclass(frozen=True)
class StoredPairsParams(RuleParams):
    """The memory for the pairs."""

    max_gigabytes: float = field(metadata=setting(above=0, most=1e6))
    """What the stored adapters of a round may take in the server's memory, in GB."""


class StoredPairs(AdapterRule):
    """Stores the adapters of every reply until the round's end; memory grows with the cohort.

    Sums are made in the order of the clients, so that they do not depend on who came first.
    """

    combines = True
    params: StoredPairsParams

    def begin(self, state: ServerState) -> None:
        """See whether a cohort's adapters fit.

        Raises:
            ConfigError: they do not; says what would.
        """
        one = sum(values.nbytes for name, values in state.arrays.items() if is_factor(name))
        cohort, most = self.federation.cohort_size, self.params.max_gigabytes
        if cohort * one / 1e9 > most:
            raise ConfigError(
                f"{self.name} keeps the adapters of all {cohort} replies of a round, "
                f"{cohort * one / 1e9:.3g} GB, and max_gigabytes={most:g}; raise it or lower "
                "clients_per_round."
            )

    def begin_round(self, state: ServerState) -> None:
        """Forget the last round's."""
        self._stored: dict[int, tuple[float, Arrays]] = {}

    def accumulate(self, client: int, pairs: Arrays, weight: float) -> None:
        """Store them."""
        self._stored[client] = weight, pairs

    def terms(self, shapes: Arrays | None = None) -> Mapping[str, Terms]:
        """By layer each client's part p_k (they sum to 1) and its pair, in the order of clients.

        Args:
            shapes: arrays to whose shapes smaller ranks are padded with zeros; None: they are not.
        """
        total = sum(weight for weight, _ in self._stored.values())
        sizes = None if shapes is None else {name: v.shape for name, v in shapes.items()}
        layers: dict[str, Terms] = {}
        for client in sorted(self._stored):
            weight, arrays = self._stored[client]
            for layer, pair in pairs_in(padded(arrays, sizes) if sizes else arrays).items():
                layers.setdefault(layer, []).append((weight / total, pair))
        return layers


def revived(pair: Pair, before: Pair) -> Pair:
    """The pair, with the rows of A from before where both factors are zero: nobody has them.

    Its product is the same; as zeros they could never be trained again.
    """
    alive: NDArray[np.bool_] = np.logical_or(pair.a.any(axis=1), pair.b.any(axis=0))
    return Pair(np.where(alive[:, None], pair.a, before.a), pair.b)


def mean_pair(terms: Terms) -> Pair:
    """The mean of A and the mean of B, each by itself."""
    a = sum(weight * pair.a.astype(np.float64) for weight, pair in terms)
    b = sum(weight * pair.b.astype(np.float64) for weight, pair in terms)
    return Pair(np.asarray(a, np.float32), np.asarray(b, np.float32))
