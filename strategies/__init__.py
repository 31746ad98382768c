"""Federated algorithms: one file each (parameters, client half, server rule)."""

from typing import Any

from fedvlm_flwr.config import Choice
from fedvlm_flwr.plugins import load_module
from strategies.core.client_hook import ClientHook
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy


def strategy_class(name: str) -> type[FederatedStrategy]:
    """The class of an algorithm: the one strategy that its module defines.

    Raises:
        ConfigError: there is no such algorithm; lists the ones there are.
        TypeError: the module defines no strategy, or several.
    """
    module = load_module("strategies", name, "algorithm")
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, FederatedStrategy)
        and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise TypeError(f"strategies/{name}.py defines {len(classes)} strategies; make it one.")
    return classes[0]


def load_strategy(choice: Choice[Any], federation: Federation) -> FederatedStrategy:
    """The server side of the chosen algorithm.

    Raises:
        ConfigError: its parameters do not suit the federation.
    """
    return strategy_class(choice.kind)(choice.params, federation)


def load_hook(choice: Choice[Any]) -> ClientHook:
    """The client side of the chosen algorithm.

    Raises:
        ConfigError: see `load_strategy`.
    """
    return strategy_class(choice.kind).client_hook(choice.params)
