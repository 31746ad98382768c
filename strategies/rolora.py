"""RoLoRA (Chen et al. 2024, Robust Federated Finetuning of LLMs via Alternating Optimization)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedvlm_flwr.adapters import FACTORS, LORA_A, LORA_B
from fedvlm_flwr.arrays import Arrays
from strategies.core.adapter_rule import AdapterRule
from strategies.core.deposits import Deposit
from strategies.core.params import RuleParams
from strategies.core.state import ServerState


@dataclass(frozen=True)
class Params(RuleParams):
    """The rule has no parameters."""


class RoLora(AdapterRule):
    """Odd rounds train and average B with A at rest, even rounds A (arXiv 2502.01755, Algorithm 1).

    Exact in each round, since the half at rest is the same for all. B comes first: as long as it is
    zero, A has no gradient. Travels: up the half that was trained, down the half that has changed
    since the client's last round, which is one half too where it missed none; r inputs or r outputs
    numbers a layer. The server adds. A cosine schedule leaves the last half less to learn; take an
    even number of rounds.
    """

    def resting(self, server_round: int) -> str:
        """A in odd rounds, B in even ones."""
        return LORA_A if server_round % 2 else LORA_B

    def deposits(self, state: ServerState) -> Mapping[str, Deposit]:
        """Both halves, each under the number of the round that has changed it last."""
        done = state.number
        last = {LORA_B: done - (done + 1) % 2, LORA_A: done - done % 2}  # odd rounds, even rounds
        halves = {
            end: {name: values for name, values in state.arrays.items() if name.endswith(end)}
            for end in FACTORS
        }
        return {e: Deposit(max(0, last[e]), half) for e, half in halves.items() if half}

    def passing(self, state: ServerState, clients: Sequence[int]) -> Arrays:
        """One half: B, which the first round changes."""
        return {name: values for name, values in state.arrays.items() if name.endswith(LORA_B)}
