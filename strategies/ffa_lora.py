"""FFA-LoRA (Sun et al. 2024, Improving LoRA in Federated Learning, arXiv 2403.12313)."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedvlm_flwr.adapters import LORA_A
from strategies.core.adapter_rule import AdapterRule
from strategies.core.deposits import Deposit
from strategies.core.params import RuleParams
from strategies.core.state import ServerState


@dataclass(frozen=True)
class Params(RuleParams):
    """The rule has no parameters."""


class FfaLora(AdapterRule):
    """A stays at its random start, the same for all; B = sum_k p_k B_k (their equation 6).

    Exact: with one A, the mean of the products is the product of the mean. A is sent once, to each
    client's first message, so that nobody has to draw the same. Travels, each way: r outputs
    numbers a layer; the server adds. Half of the adapter learns, and usually wants a larger rate.
    """

    keeps_basis = True

    def resting(self, server_round: int) -> str:
        """A, in every round."""
        return LORA_A

    def deposits(self, state: ServerState) -> Mapping[str, Deposit]:
        """A, once."""
        halves = {name: values for name, values in state.arrays.items() if name.endswith(LORA_A)}
        return {LORA_A: Deposit(1, halves)} if halves else {}
