"""How far a round's aggregate is from the mean of the clients' products."""

import math
from collections.abc import Iterable

from fedvlm_flwr.adapters import Pair, is_factor, padded, pairs_in
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.messages import TrainReply
from strategies.core.events import Callback, Round
from strategies.core.factors import Product, as_product, difference, length, weighted_sum
from strategies.core.moves import RoundMoves
from strategies.core.state import ServerState


class ProductDistance(Callback):
    """Measures what averaging of factors costs, see `Round.product_distance`.

    It stores the adapters of all replies of a round, whatever the rule does. Where a half of the
    adapters stays with the clients, there is no product of all and nothing to measure.
    """

    def __init__(self, strategy: RoundMoves) -> None:
        self._strategy = strategy

    def on_round_start(self, account: Round) -> None:
        """Remember what the clients start from."""
        arrays = self._strategy.state.arrays
        self._before = {name: values for name, values in arrays.items() if is_factor(name)}
        self._residual = self._strategy.residual()
        self._replies: dict[int, tuple[float, Arrays]] = {}

    def on_reply(self, account: Round, client: int, reply: TrainReply | None) -> None:
        """Store a client's adapters, with the halves that it has not trained as they were."""
        if reply is not None:
            shapes = {name: values.shape for name, values in self._before.items()}
            moved = {n: v for n, v in reply.arrays.items() if n in shapes}
            arrays = self._before | padded(moved, shapes)
            self._replies[client] = reply.metrics.num_examples, arrays

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """Measure, and forget."""
        layers = pairs_in(self._before)
        if layers and self._replies:
            account.product_distance = self._distance(layers)
        self._replies = {}

    def _distance(self, layers: Iterable[str]) -> float:
        served, residual = pairs_in(self._strategy.served()), pairs_in(self._strategy.residual())
        before, left = pairs_in(self._before), pairs_in(self._residual)
        total = sum(weight for weight, _ in self._replies.values())
        replies = [self._replies[client] for client in sorted(self._replies)]
        pairs = [(weight / total, pairs_in(arrays)) for weight, arrays in replies]
        missed = moved = 0.0
        for layer in layers:
            mean = weighted_sum([(weight, each[layer]) for weight, each in pairs])
            result = _sum(served[layer], residual.get(layer))
            missed += length(difference(result, _with(mean, left.get(layer)))) ** 2
            moved += length(difference(mean, as_product(before[layer]))) ** 2
        return math.sqrt(missed / moved) if moved else 0.0


def _sum(pair: Pair, residual: Pair | None) -> Product:
    return _with(as_product(pair), residual)


def _with(product: Product, residual: Pair | None) -> Product:
    if residual is None:
        return product
    more = as_product(residual)
    return difference(product, Product(-more.b, more.a))
