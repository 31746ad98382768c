"""What is known of a dotted key of the configuration: the one reader of the fields' facts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from fedvlm_flwr.config.choice import Choice, params_class
from fedvlm_flwr.config.schema import Config
from fedvlm_flwr.config.typed import hints_of
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import STRICT, Facts, docs_of, facts_of

Kinds = Mapping[str, str]  # the kind that is chosen in each group


@dataclass(frozen=True)
class Key:
    """A key of the configuration.

    Attributes:
        name: dotted; `*` stands for a number or a name that the user gives.
        doc: what it is, its unit and what null means; empty where nothing is written.
    """

    name: str
    type: Any
    facts: Facts
    doc: str


def kinds_of(config: Config) -> dict[str, str]:
    """The kind that a configuration has chosen in each group."""
    return {key: value.kind for key, value in vars(config).items() if isinstance(value, Choice)}


def facts_at(key: str, kinds: Kinds) -> Facts:
    """The facts of a dotted key (`engine.threads`); of what lies in a mapping, the mapping's.

    A key that is not known counts as one that determines a run's numbers.
    """
    facts, hint = STRICT, Config
    for name in key.split("."):
        if facts.group:
            if name in ("name", "kind"):
                return facts
            try:
                hint = params_class(facts.group, kinds.get(facts.group, ""))
            except ConfigError:  # of a run that was made with a module that is gone
                return STRICT
        if is_dataclass(hint):
            each = next((field for field in fields(hint) if field.name == name), None)
            if each is None:
                return STRICT
            facts, hint = facts_of(each), plain(hints_of(hint)[name])
        else:
            hint = inside(hint)
    return facts


def keys_of(cls: type[Any], prefix: str = "") -> Iterator[Key]:
    """Every key of a dataclass, those of nested dataclasses after the one that holds them."""
    docs, hints = docs_of(cls), hints_of(cls)  # type: ignore[arg-type]
    for each in fields(cls):
        facts, hint, name = facts_of(each), hints[each.name], f"{prefix}{each.name}"
        yield Key(name, hint, facts, docs.get(each.name, ""))
        inner = plain(hint)
        if get_origin(inner) in (list, dict):
            inner, name = inside(inner), f"{name}.*"
        if is_dataclass(inner) and not facts.group:
            yield from keys_of(inner, f"{name}.")  # type: ignore[arg-type]


def plain(hint: Any) -> Any:
    """A type without its None."""
    if get_origin(hint) in (Union, UnionType):
        return next(each for each in get_args(hint) if each is not NoneType)
    return hint


def inside(hint: Any) -> Any:
    """The type of a list's or a mapping's entries; of nothing else is anything known."""
    return plain(get_args(hint)[-1]) if get_origin(hint) in (list, dict) else Any
