"""Federated algorithms: one file each (parameters, server rule, client hook)."""

from typing import Any

from fedvlm_flwr.config import Choice
from fedvlm_flwr.plugins import load_module
from strategies.base import FederatedStrategy, Loop
from strategies.core.hooks import ClientHook


def load_strategy(choice: Choice[Any], loop: Loop) -> FederatedStrategy:
    """The server side of the chosen algorithm.

    Raises:
        ConfigError: unknown algorithm, or parameters that do not suit the loop.
    """
    module = load_module("strategies", choice.kind, "algorithm")
    strategy: FederatedStrategy = module.Algorithm(choice.params, loop)
    return strategy


def load_hook(choice: Choice[Any]) -> ClientHook:
    """The client side of the chosen algorithm.

    Raises:
        ConfigError: see `load_strategy`.
    """
    module = load_module("strategies", choice.kind, "algorithm")
    hook: ClientHook = module.Hook(choice.params)
    return hook
