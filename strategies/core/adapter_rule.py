"""How the adapters among the shared tensors are aggregated; everything else keeps the base rule."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fedvlm_flwr.adapters import is_factor
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.messages.wire import FLOAT32
from strategies.core.client_hook import ClientHook
from strategies.core.deposits import Deposit
from strategies.core.federation import Federation
from strategies.core.state import ServerState

MAGNITUDES = "lora_magnitude_vector"


class AdapterRule:
    """What an algorithm does with adapters; as it stands, nothing: the base rule has them too.

    Pairs are arrays whose names end in `lora_A` and `lora_B`, see `fedvlm_flwr.adapters`. Whatever
    a rule must remember from round to round is in the `state` that it is given.

    Attributes:
        client_hook: the client half.
        combines: whether `accumulate` and `step` see the pairs, and the base rule does not.
        keeps_basis: whether what a client's factors are relative to stays from round to round, so
            that sums of their changes have a meaning.
        mixed_ranks: whether the rule has a meaning where clients' ranks differ.
        quantized: whether it has one on a base of 4 or 8 bits.
        short_wire: whether it has one where changes travel that are rounded.
        leaves_residual: whether a term beside the base is part of the result.
    """

    client_hook: ClassVar[type[ClientHook]] = ClientHook
    combines: ClassVar[bool] = False
    keeps_basis: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = False
    quantized: ClassVar[bool] = True
    short_wire: ClassVar[bool] = True
    leaves_residual: ClassVar[bool] = False

    def __init__(self, params: Any, federation: Federation) -> None:
        self.params = params
        self.federation = federation

    @property
    def name(self) -> str:
        """The name of its module."""
        return type(self).__module__.rpartition(".")[2]

    def travels(self, name: str) -> bool:
        """Whether a trained tensor is shared. Those that are not stay with each client. All."""
        return True

    def resting(self, server_round: int) -> str:
        """The ending of the names that no client trains or sends in a round. None: empty."""
        return ""

    def deposits(self, state: ServerState) -> Mapping[str, Deposit]:
        """What clients keep of the shared tensors after `state.number` rounds, by name.

        Arrays under names of `residual.<n>` are factors of a frozen term beside the base; any other
        deposit holds shared tensors, which then do not travel with every message. Nothing.
        """
        return {}

    def passing(self, state: ServerState, clients: Sequence[int]) -> Arrays:
        """Names and shapes of what of the deposits travels anew in a usual round. Nothing.

        Args:
            clients: of the round.
        """
        return {}

    def rank_of(self, state: ServerState, client: int) -> int | None:
        """The rank at which a client has the adapters; None: the server's. The configured one."""
        return self.federation.rank_of(client)

    def begin(self, state: ServerState) -> None:
        """Before the first round, with the shared tensors as they start. Nothing.

        Raises:
            ConfigError: the rule cannot be used with these.
        """

    def begin_round(self, state: ServerState) -> None:
        """Before the first reply of a round. Nothing."""

    def accumulate(self, client: int, pairs: Arrays, weight: float) -> None:
        """Take in one client's pairs, at its rank.

        Args:
            weight: the client's part before division by their sum.
        """
        raise NotImplementedError

    def step(self, state: ServerState, server_round: int, pairs: Arrays) -> Arrays:
        """The new pairs, at the server's rank, from the old ones and what was accumulated."""
        raise NotImplementedError

    def residual(self, state: ServerState) -> Arrays:
        """The frozen term beside the base, as factors by layer. None."""
        return {}


def require_rule(rule: AdapterRule, choice: str, shared: Arrays) -> None:
    """Refuse adapters that a rule cannot aggregate.

    Args:
        choice: what has the adapters, as in `algorithm=fedavg`.
        shared: the shared tensors.

    Raises:
        ConfigError: says why.
    """
    federation = rule.federation
    odd = [each for each in shared if each.endswith(MAGNITUDES)]
    if odd and rule.combines:
        raise ConfigError(
            f"'{odd[0]}' is a magnitude of DoRA, and no part of the product that {choice} "
            "aggregates; set tuning.lora.use_dora=false."
        )
    if not any(map(is_factor, shared)):
        return
    if federation.has_mixed_ranks and not rule.mixed_ranks:
        raise ConfigError(
            f"{choice} has no meaning where clients' ranks differ; choose flexlora, "
            "hetlora, flora or fedex_lora, or give all the same rank (tuning.lora.rank_of=null, no "
            "lora-rank at a site)."
        )
    if federation.wire_dtype != FLOAT32 and not rule.short_wire:
        raise ConfigError(
            f"{choice} knows a client's rank by the zeros in its adapters, which rounded changes "
            "do not keep; set wire.dtype=float32."
        )
    if federation.quantized and not rule.quantized:
        raise ConfigError(
            f"{choice} merges adapters into the base's weights, which a base of 4 or 8 "
            "bits cannot take; choose fedex_lora, or model.quantize=null."
        )
