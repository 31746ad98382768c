"""Conventions: how papers score the answers of a task, one module each."""

from fedvlm_flwr.contracts import Convention
from fedvlm_flwr.plugins import available, load_as

PACKAGE = "fedvlm_flwr.tasks.conventions"


def convention_names() -> list[str]:
    """Names of the conventions, sorted."""
    return available(PACKAGE)


def load_convention(name: str) -> Convention:
    """The module of a convention.

    Raises:
        ConfigError: there is none, or it does not keep the contract.
    """
    return load_as(Convention, PACKAGE, name, "convention")
