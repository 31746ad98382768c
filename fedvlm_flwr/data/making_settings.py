"""The settings of a dataset that is made from public sources."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fedvlm_flwr.config.choice import params_class
from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import SEEDS, setting


@dataclass(frozen=True)
class Source:
    """One source of a dataset: where it lies, how much of it is taken, and its own values."""

    folder: str
    """Below the folder of `raw`; "." where that is the source itself."""
    limit: dict[str, int] = field(metadata=setting(least=1, most=10**9))
    """Records at most of each task, by split; a seeded sample. {}: all."""
    reading: Any
    """The source's own keys, as the `Params` of its module."""


def read_sources(values: Any, where: str) -> dict[str, Source]:
    """The sources of a dataset, each with the settings of its own module.

    Args:
        values: mappings by module of `fedvlm_flwr.data.sources`.
        where: their place in the configuration, for messages.

    Raises:
        ConfigError: there is no such source, or a key or a value does not fit.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}={values!r} must be a mapping of sources to their keys.")
    sources = {}
    for name, own in values.items():
        source = typed(Source, own, f"{where}.{name}")
        reading = typed(params_class("source", name), source.reading, f"{where}.{name}.reading")
        sources[name] = replace(source, reading=reading)
    return sources


@dataclass(frozen=True)
class Making:
    """How a dataset is made, and how large its published form is."""

    sources: dict[str, Source] = field(metadata=setting(read=read_sources))
    """By module of `fedvlm_flwr.data.sources`."""
    clients_by: str
    """The field that tells one client from another."""
    clients: int | None = field(metadata=setting(least=1, most=100_000))
    """How many clients; null: one for each value of the field."""
    seed: int = field(metadata=setting(least=0, most=SEEDS))
    """Of samples, and of the assignment of a value that several clients share."""
    published: dict[str, int] = field(metadata=setting(least=0, most=10**9))
    """Published numbers of records by task, and of `clients`; made ones are compared with them."""
