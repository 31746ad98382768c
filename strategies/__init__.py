"""Federated algorithms: one file each (parameters, server rule, client hook)."""

from fedvlm_flwr.config import Choice, typed
from fedvlm_flwr.plugins import load_module
from strategies.base import FederatedStrategy, Loop
from strategies.core.hooks import ClientHook


def load_strategy(choice: Choice, loop: Loop) -> FederatedStrategy:
    """The server side of the chosen algorithm.

    Raises:
        ConfigError: unknown algorithm, or parameters that its `Params` refuses.
    """
    module = load_module("strategies", choice.kind, "algorithm")
    strategy: FederatedStrategy = module.Algorithm(
        typed(module.Params, choice.params, "algorithm"), loop
    )
    return strategy


def load_hook(choice: Choice) -> ClientHook:
    """The client side of the chosen algorithm.

    Raises:
        ConfigError: see `load_strategy`.
    """
    module = load_module("strategies", choice.kind, "algorithm")
    hook: ClientHook = module.Hook(typed(module.Params, choice.params, "algorithm"))
    return hook
