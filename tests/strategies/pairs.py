"""Small adapters beside a connector, clients that move them, and dense sums to compare with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import RecordDict
from numpy.typing import NDArray

from fedvlm_flwr.adapters import is_residual, pairs_in, stacked
from fedvlm_flwr.arrays import Arrays, section
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.messages.wire import unpack
from strategies import load_strategy
from strategies.core.events import Callback, Round
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy
from strategies.core.residuals import whole_residual
from strategies.core.state import ServerState
from tests import choices
from tests.strategies.conftest import shipped_params

Dense = dict[str, NDArray[np.float64]]
GoodReply = Callable[..., RecordDict]

SIZES = {"llm.q": (5, 6), "llm.v": (7, 5)}  # outputs, inputs
CONNECTOR = "connector.w"


def start(rank: int = 4, sizes: Mapping[str, tuple[int, int]] = SIZES) -> Arrays:
    """A random, B zero, as an adapter starts; and a connector."""
    draw = np.random.default_rng(0)
    arrays: Arrays = {CONNECTOR: np.zeros(3, np.float32)}
    for layer, (outputs, inputs) in sizes.items():
        arrays[f"{layer}.lora_A"] = draw.normal(size=(rank, inputs)).astype(np.float32)
        arrays[f"{layer}.lora_B"] = np.zeros((outputs, rank), np.float32)
    return arrays


def begun(
    name: str, arrays: Arrays, params: Mapping[str, Any] | None = None, **facts: Any
) -> FederatedStrategy:
    """An algorithm before its first round, by its YAML's parameters but for those given."""
    choice = choices.algorithm(name, shipped_params(name) | dict(params or {}))
    strategy = load_strategy(choice, Federation(**{"num_clients": 2} | facts))
    strategy.begin(arrays)
    return strategy


def products(arrays: Arrays) -> Dense:
    """B A of each layer as a dense matrix, in float64."""
    return {
        layer: pair.b.astype(np.float64) @ pair.a.astype(np.float64)
        for layer, pair in pairs_in(arrays).items()
    }


def served(state: ServerState) -> Dense:
    """What the server's model adds to each weight: its pair's product and the term beside it."""
    return plus(products(state.arrays), products(whole_residual(state)))


def plus(one: Dense, other: Dense) -> Dense:
    """Their sum, where the other may lack layers."""
    return {layer: values + other.get(layer, 0.0) for layer, values in one.items()}


def assert_near(one: Dense, other: Dense, part: float = 1e-6) -> None:
    """Equal to a part of their length."""
    assert one.keys() == other.keys()
    for layer, values in one.items():
        away = np.linalg.norm(values - other[layer])
        assert away <= part * max(1.0, float(np.linalg.norm(values))), (layer, away)


@dataclass
class Exchange:
    """One client's message and reply.

    Attributes:
        down: the shared tensors that came with the message.
        deposits: what travelled of what is kept, as `name/tensor`.
        before: the shared tensors as the client then has them.
        residual: the factors of the term beside the base.
        up: what it sent.
    """

    down: Arrays
    deposits: Arrays
    before: Arrays
    residual: Arrays
    up: Arrays

    @property
    def after(self) -> Dense:
        """What the client's model adds to each weight at the round's end."""
        return plus(products(self.before | self.up), products(self.residual))

    @property
    def names(self) -> tuple[set[str], set[str], set[str]]:
        """What came with the message, which deposits did, and what was sent."""
        return set(self.down), {name.partition("/")[0] for name in self.deposits}, set(self.up)


@dataclass
class Clients:
    """Move every tensor that they train at random, the same in every run.

    They keep deposits as the real ones do, and fail where the server takes them to have one that
    they were never sent.

    Attributes:
        examples: of the clients, in turn.
        fails: the rounds and clients whose reply is useless.
        log: by round and client.
    """

    good_reply: GoodReply
    examples: tuple[int, ...] = (1, 3, 2)
    fails: frozenset[tuple[int, int]] = frozenset()
    log: dict[tuple[int, int], Exchange] = field(default_factory=dict)
    _disk: dict[tuple[int, str], tuple[int, Arrays]] = field(default_factory=dict)

    def __call__(self, content: RecordDict) -> RecordDict:
        request = TrainRequest.unpack(content)
        client, place = request.client, (request.round, request.client)
        sent = unpack(request.deposits) if request.deposits is not None else {}
        mine: dict[str, Arrays] = {}
        for name, _, number in (use.partition(":") for use in request.uses.split()):
            if arrays := section(sent, f"{name}/"):
                self._disk[client, name] = int(number), arrays
            has, mine[name] = self._disk[client, name]
            assert has == int(number), f"client {client} has {name}:{has} and not {number}"
        down = unpack(request.arrays)
        halves = [v for name, v in mine.items() if not is_residual(name)]
        before = down | {n: v for each in halves for n, v in each.items()}
        residual = stacked([v for name, v in sorted(mine.items()) if is_residual(name)])
        end, draws = request.resting, np.random.default_rng([client, request.round])
        up = {
            name: values + draws.normal(size=values.shape).astype(np.float32)
            for name, values in sorted(before.items())
            if not end or not name.endswith(end)
        }
        self.log[place] = Exchange(down, sent, before, residual, up)
        if place in self.fails:
            return self.good_reply({})
        examples = self.examples[client % len(self.examples)]
        return self.good_reply(up, examples, steps=2, saved_state=True)

    def of_round(self, number: int) -> dict[int, Exchange]:
        """By client."""
        return {client: each for (n, client), each in self.log.items() if n == number}

    def mean_of_products(self, number: int) -> Dense:
        """sum_k p_k of what the clients' models add to each weight, dense."""
        replies = self.of_round(number)
        total = sum(self.examples[k % len(self.examples)] for k in replies)
        layers = next(iter(replies.values())).after
        return {
            layer: sum(
                self.examples[k % len(self.examples)] / total * each.after[layer]
                for k, each in replies.items()
            )
            for layer in layers
        }


@dataclass
class States(Callback):
    """The server's states after each round, as they were."""

    by_round: dict[int, ServerState] = field(default_factory=dict)

    def on_round_end(self, account: Round, state: ServerState) -> None:
        self.by_round[account.number] = copy_of(state)


def copy_of(state: ServerState, order: int = -1) -> ServerState:
    """A state as a checkpoint gives it back: other arrays, in another order."""

    def other(arrays: Mapping[str, Any]) -> Arrays:
        return {name: arrays[name].copy() for name in list(arrays)[::order]}

    return ServerState(
        other(state.arrays),
        other(state.server),
        state.number,
        scored=state.scored,
        saved_rounds=dict(state.saved_rounds),
        holds={client: dict(numbers) for client, numbers in state.holds.items()},
    )
