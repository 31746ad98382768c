"""A named choice (model, algorithm, dataset, partition), and the settings of its module."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import load_as
from fedvlm_flwr.settings import Facts, setting, short

P_co = TypeVar("P_co", covariant=True)


class HasParams(Protocol):
    """A module whose settings are a frozen dataclass, its fields with docstrings and `setting`."""

    Params: type[Any]


class DatasetParams(Protocol):
    """What is asked of a dataset's `Params`."""

    @property
    def answer_tokens(self) -> int | None:
        """How long an answer may become when a model is scored; None: as long as usual."""


@dataclass(frozen=True)
class Choice(Generic[P_co]):
    """What was chosen in a group.

    Attributes:
        name: the YAML's own name.
        kind: the module that implements it.
        params: the other keys of the YAML, as that module's `Params`.
    """

    name: str
    kind: str
    params: P_co


@dataclass(frozen=True)
class Group:
    """Where the modules behind the choices of a group lie.

    Attributes:
        package: its modules are the kinds, or its subpackages that have a module `inner`.
        what: a kind's name in messages.
    """

    package: str
    what: str
    inner: str | None = None


GROUPS: Mapping[str, Group] = {
    "model": Group("fedvlm_flwr.models", "model kind", "params"),
    "algorithm": Group("strategies", "algorithm"),
    "dataset": Group("fedvlm_flwr.data.sets", "dataset"),
    "partition": Group("fedvlm_flwr.data.partitions", "partition"),
    "source": Group("fedvlm_flwr.data.sources", "source"),
}


def params_class(group: str, kind: str) -> type[Any]:
    """The dataclass of the keys of a kind; its module brings neither torch nor datasets with it.

    Raises:
        ConfigError: there is no such kind, or its module has no `Params`.
    """
    place = GROUPS[group]
    return load_as(HasParams, place.package, kind, place.what, place.inner).Params


def make_choice(group: str, values: Mapping[str, Any], where: str = "") -> Choice[Any]:
    """The choice that a YAML's mapping makes.

    Args:
        group: model, algorithm, dataset or partition.
        values: `name`, `kind` (that of the name, where it is missing) and the kind's own keys.
        where: its place in the configuration, for messages; the group's own, where it is empty.

    Raises:
        ConfigError: the kind is unknown, or a key or a value does not fit.
    """
    where = where or group
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise ConfigError(f"{where}.name is not set; name the choice in its YAML.")
    kind = values.get("kind", values["name"])
    if not isinstance(kind, str):
        raise ConfigError(f"{where}.kind={short(kind)} must be text; name a kind that there is.")
    for key in ("name", "kind"):
        Facts(name=True).check(values.get(key), f"{where}.{key}")
    own = {key: value for key, value in values.items() if key not in ("name", "kind")}
    return Choice(values["name"], kind, typed(params_class(group, kind), own, where))


def choice_of(group: str) -> Mapping[str, Facts]:
    """The metadata of a field that holds the choice of a group."""
    return setting(group=group, read=partial(make_choice, group))
