"""FedSA-LoRA (Guo et al. 2024, Selective Aggregation for Low-Rank Adaptation, arXiv 2410.01463)."""

from dataclasses import dataclass

from fedvlm_flwr.adapters import LORA_B
from strategies.core.adapter_rule import AdapterRule
from strategies.core.params import RuleParams


@dataclass(frozen=True)
class Params(RuleParams):
    """The rule has no parameters."""


class FedSaLora(AdapterRule):
    """A = sum_k p_k A_k; B_k stays with its client (their Figure 1): A for all, B for each.

    There is no model of all: each client is scored with its own B, and the adapter that is saved
    says that it lacks B. Where only some take part in a round, the others' B grows old. Travels,
    each way: r inputs numbers a layer; the server adds.
    """

    def travels(self, name: str) -> bool:
        """All but B."""
        return not name.endswith(LORA_B)
