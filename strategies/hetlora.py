"""HetLoRA (Cho et al. 2024, Heterogeneous LoRA for Federated Fine-tuning, arXiv 2401.06432)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fedvlm_flwr.adapters import LORA_A, highest_rank, is_factor, padded, pairs_in
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.settings import setting
from strategies.core.adapter_rule import AdapterRule
from strategies.core.client_hook import ClientHook, RoundInput, RoundOutput, gradient
from strategies.core.factors import as_product, length
from strategies.core.params import RuleParams
from strategies.core.running_mean import RunningMean
from strategies.core.state import ServerState

if TYPE_CHECKING:
    from torch import Tensor

    from strategies.core.client_hook import Parameters

RANK = "rank"
LEAST = 1e-12  # weight of a client whose product is zero


@dataclass(frozen=True)
class Params(RuleParams):
    """How hard, and how far, clients prune their own rank."""

    gamma: float = field(metadata=setting(above=0, most=1))
    """Part of its rank that a client keeps where it prunes; 1 prunes nothing."""
    penalty: float = field(metadata=setting(least=0, most=1000))
    """Weight of the length of what would be pruned, in each local loss."""


class SelfPruning(ClientHook):
    """Local loss + penalty sum ||B_tail|| ||A_tail||; what has become shorter is cut off.

    The tail are the rows of A and columns of B behind gamma r_k, in all layers together (their
    section 3.2). A client that prunes sends zeros there; the server sees its new rank by them.
    """

    params: Params

    def on_start(self, parameters: Parameters, start: RoundInput) -> None:
        """Find the tails, and how long they are."""
        arrays = {name: values for name, values in start.shared.items() if is_factor(name)}
        rank = rank_in(arrays)
        first = max(1, int(self.params.gamma * rank))
        self._tails: list[tuple[Tensor, Tensor]] = []
        self._layers: list[tuple[str, str]] = []
        self._span = slice(first, rank)
        for layer in pairs_in(arrays) if first < rank else ():
            self._layers.append((f"{layer}.lora_A", f"{layer}.lora_B"))
        self._before = self._length(parameters)

    def _length(self, parameters: Parameters) -> float:
        return sum(
            float(a.norm() * b.norm())
            for a, b in (self._tail(parameters, names) for names in self._layers)
        )

    def _tail(self, parameters: Parameters, names: tuple[str, str]) -> tuple[Tensor, Tensor]:
        a, b = (parameters[name].detach() for name in names)
        return a[self._span], b[:, self._span]

    def on_gradients(self, parameters: Parameters) -> None:
        """Add the penalty's gradient."""
        for names in self._layers if self.params.penalty else ():
            a, b = self._tail(parameters, names)
            length_a, length_b = a.norm().clamp_min(LEAST), b.norm().clamp_min(LEAST)
            gradient(parameters[names[0]])[self._span].add_(
                a * (length_b / length_a), alpha=self.params.penalty
            )
            gradient(parameters[names[1]])[:, self._span].add_(
                b * (length_a / length_b), alpha=self.params.penalty
            )

    def on_end(self, parameters: Parameters, steps: int) -> RoundOutput:
        """Cut the tails off where they have become shorter."""
        if self._layers and self._length(parameters) < self._before:
            for names in self._layers:
                for tail in self._tail(parameters, names):
                    tail.zero_()
        return RoundOutput()


class HetLora(AdapterRule):
    """A = sum_k p_k A_k, B = sum_k p_k B_k with zeros behind each rank, p_k by ||B_k A_k||.

    Their equation 4, in which examples do not count. Not exact, as FedIT; rows that few clients
    have are diluted by the zeros of the others. A client's rank falls where it prunes itself and
    never rises. Travels, each way: r_k (inputs + outputs) numbers a layer. The server adds, and
    needs r_k^2 (inputs + outputs) operations a layer for the lengths.
    """

    client_hook = SelfPruning
    combines = True
    mixed_ranks = True
    short_wire = False

    def begin(self, state: ServerState) -> None:
        """Remember the shapes."""
        self._shapes = {n: v.shape for n, v in state.arrays.items() if is_factor(n)}

    def begin_round(self, state: ServerState) -> None:
        """Start the mean anew."""
        self._mean = RunningMean()
        self._ranks: dict[int, int] = {}
        self._rows = 0  # of the longest A that has come, rows of zeros among them

    def rank_of(self, state: ServerState, client: int) -> int | None:
        """What is left of its rank."""
        own = state.server.get(f"{RANK}/{client}")
        return super().rank_of(state, client) if own is None else int(own[0])

    def accumulate(self, client: int, pairs: Arrays, weight: float) -> None:
        """Add them, as long as their product is."""
        squares = [length(as_product(pair)) ** 2 for pair in pairs_in(pairs).values()]
        self._mean.add(padded(pairs, self._shapes), max(LEAST, float(np.sqrt(sum(squares)))))
        self._ranks[client] = rank_in(pairs)
        self._rows = max(self._rows, highest_rank(pairs))

    def step(self, state: ServerState, server_round: int, pairs: Arrays) -> Arrays:
        """The mean; and who has which rank now.

        Rows that nobody of the round has stay as they were, those that everybody has cut off keep
        their A: as zeros in both factors they could never be trained again.
        """
        ranks = state.section(RANK)
        for client, rank in sorted(self._ranks.items()):
            before = self.rank_of(state, client)
            if rank < (
                before or max(shape[0] for n, shape in self._shapes.items() if n.endswith(LORA_A))
            ):
                ranks[str(client)] = np.array([rank], np.float32)
        state.replace_section(RANK, ranks)
        mean, cut_at = self._mean.result(), max(self._ranks.values())
        for name, values in mean.items():
            if name.endswith(LORA_A):
                values[cut_at:] = pairs[name][cut_at:]
            else:
                values[:, self._rows :] = pairs[name][:, self._rows :]
        return mean


def rank_in(factors: Arrays) -> int:
    """The rows up to the last one that is not zero, over all layers; 1 at least."""
    rows = [np.flatnonzero(v.any(axis=1)) for n, v in factors.items() if n.endswith(LORA_A)]
    return max((int(each[-1]) + 1 for each in rows if each.size), default=1)
