"""What the tests that hold for every choice of a kind must know of one: its own test says it."""

import importlib
from collections.abc import Iterable
from typing import Any


def declared(folder: str, names: Iterable[str], constant: str) -> dict[str, Any]:
    """The values of a constant in `<folder>/test_<name>.py`, by name; only of those that have it.

    Args:
        folder: as a package, e.g. `tests.strategies`.
        names: those of all choices of the kind.
        constant: the name that the tests give to the fact.
    """
    modules = {name: importlib.import_module(f"{folder}.test_{name}") for name in names}
    return {n: vars(module)[constant] for n, module in modules.items() if constant in vars(module)}
