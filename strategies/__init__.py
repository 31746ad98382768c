"""Federated algorithms: one file each (parameters, client half, server rule)."""

from typing import Any

from fedvlm_flwr.config import Choice
from fedvlm_flwr.plugins import load_module
from strategies.core.adapter_rule import AdapterRule
from strategies.core.client_hook import ClientHook, ClientHooks
from strategies.core.federation import Federation
from strategies.core.flower import FederatedStrategy


def algorithm_class(name: str) -> type[FederatedStrategy] | type[AdapterRule]:
    """The class of an algorithm: the one strategy, or rule for adapters, that its module defines.

    Raises:
        ConfigError: there is no such algorithm; lists the ones there are.
        TypeError: the module defines no such class, or several.
    """
    module = load_module("strategies", name, "algorithm")
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, FederatedStrategy | AdapterRule)
        and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise TypeError(f"strategies/{name}.py defines {len(classes)} algorithms; make it one.")
    return classes[0]


def load_strategy(choice: Choice[Any], federation: Federation) -> FederatedStrategy:
    """The server side of the chosen algorithm.

    A rule for adapters goes with federated averaging of all else, or with the algorithm that names
    it in its `adapters`.

    Raises:
        ConfigError: its parameters do not suit the federation.
    """
    kind, params = algorithm_class(choice.kind), choice.params
    if issubclass(kind, AdapterRule):
        average = FederatedStrategy(params, federation)
        average.adopt(kind(params, federation))
        return average
    strategy = kind(params, federation)
    if params.adapters is not None:
        strategy.adopt(rule_of(params.adapters, federation))
    return strategy


def rule_of(choice: Choice[Any], federation: Federation) -> AdapterRule:
    """The rule for adapters that an algorithm is combined with."""
    kind = algorithm_class(choice.kind)
    assert issubclass(kind, AdapterRule), "the parameters' own check refuses others"
    return kind(choice.params, federation)


def load_hook(choice: Choice[Any]) -> ClientHook:
    """The client side of the chosen algorithm.

    Raises:
        ConfigError: see `load_strategy`.
    """
    kind, params = algorithm_class(choice.kind), choice.params
    hook = kind.client_hook(params)
    other = None if issubclass(kind, AdapterRule) else params.adapters
    return ClientHooks([hook, load_hook(other)]) if other else hook
