"""FedIT (Zhang et al. 2023, Towards Building the Federated GPT, arXiv 2305.05644)."""

from dataclasses import dataclass

from strategies.core.adapter_rule import AdapterRule
from strategies.core.params import RuleParams


@dataclass(frozen=True)
class Params(RuleParams):
    """The plain mean has no parameters."""


class FedIt(AdapterRule):
    """A = sum_k p_k A_k, B = sum_k p_k B_k: FedAvg, named as the baseline of rules for adapters.

    Not exact: s B A is not the mean of the clients' s B_k A_k, but for equal A_k or equal B_k.
    Travels, each way: r (inputs + outputs) numbers a layer. The server adds, and holds one sum.
    """

    keeps_basis = True
