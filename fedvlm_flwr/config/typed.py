"""Turn a plain mapping from YAML into a frozen dataclass, refusing what does not fit."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.settings import facts_of, short

T = TypeVar("T")


def typed(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `cls` from `values`, nested dataclasses included.

    Args:
        cls: a frozen dataclass; its fields say their ranges (`setting`), and its `__post_init__`
            may refuse what contradicts itself with a `ConfigError`.
        values: the YAML mapping.
        where: its place in the configuration (`partition`), for messages; empty at the top.

    Raises:
        ConfigError: an unknown key, a missing one, or a value of the wrong type or out of range;
            names it.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}={short(values)} must be a mapping of keys to values.")
    prefix = f"{where}." if where else ""
    by_name = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in by_name:
            names = ", ".join(by_name) or "none"
            raise ConfigError(
                f"Unknown key {prefix}{key}; the keys there are: {names}. Remove or rename it."
            )
    for name, field in by_name.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{prefix}{name} is not set; give it a value.")
    hints = hints_of(cls)  # type: ignore[arg-type]
    return cls(
        **{
            key: _value(by_name[key], values[key], hints[key], f"{prefix}{key}")
            for key in by_name
            if key in values
        }
    )


@cache
def hints_of(cls: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    return get_type_hints(cls)


def _value(field: Field[Any], value: Any, hint: Any, where: str) -> Any:
    facts = facts_of(field)
    if facts.read is not None:
        return facts.read(value, where)
    converted = _convert(value, hint, where)
    facts.check(converted, where)
    return converted


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        inner = [argument for argument in arguments if argument is not NoneType]
        return _convert(value, inner[0], where)
    if is_dataclass(hint):
        return typed(hint, value, where)  # type: ignore[arg-type]
    if origin is list and isinstance(value, list):
        return [_convert(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        return {key: _convert(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    return _scalar(value, hint, where)


def _scalar(value: Any, hint: Any, where: str) -> Any:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # a whole number of more than 308 digits; no range holds it
            return math.inf if value > 0 else -math.inf
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str | int | float):  # run_name=7 is a name too
        return str(value)
    type_name = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{where}={short(value)} must be of type {type_name}; change its value.")
