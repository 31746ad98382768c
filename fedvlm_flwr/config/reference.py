"""The reference of the configuration: every key with its type, its range and its docstring."""

from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from fedvlm_flwr.config.choice import GROUPS, params_class
from fedvlm_flwr.config.keys import Key, inside, keys_of, plain
from fedvlm_flwr.config.schema import Config
from fedvlm_flwr.plugins import available

HEAD = """\
# Every key of the configuration

Written by `fedvlm keys > docs/configuration.md` from the fields that check the values. What is set
stands in `conf/`; `*` is a number or a name of yours. A value out of its range is refused before
anything starts. Modules that were added since are in what `fedvlm keys` prints.
"""
TYPES = {bool: "true, false", int: "whole number", float: "number", str: "text"}


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *(f"## {title}\n\n{table}" for title, table in sections())])


def sections() -> Iterator[tuple[str, str]]:
    """The keys of every run, then those of each choice's kind, as Markdown tables by title."""
    yield "Every run", _table(keys_of(Config))
    for group, place in GROUPS.items():
        for kind in available(place.package, place.inner):
            keys = list(keys_of(params_class(group, kind), f"{group}."))
            yield f"{group}: {kind}", _table(keys) if keys else "No keys.\n"


def _table(keys: Iterable[Key]) -> str:
    rows = [(f"`{key.name}`", _value(key), key.doc.replace("|", r"\|")) for key in keys]
    lines = ["| key | value | what it is |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def _value(key: Key) -> str:
    if key.facts.group:
        return f"a file in `conf/{key.facts.group}`"
    text = _type(plain(key.type))
    if key.facts.choices:
        text = text.replace(TYPES[str], f"one of {', '.join(key.facts.choices)}")
    is_optional = get_origin(key.type) in (Union, UnionType) and NoneType in get_args(key.type)
    span = f" in {key.facts.span}" if key.facts.span else ""
    return f"{text}{span}{', or null' if is_optional else ''}"


def _type(hint: Any) -> str:
    if get_origin(hint) in (list, dict):
        return f"{'list' if get_origin(hint) is list else 'mapping'} of {_type(inside(hint))}"
    return TYPES.get(hint, "keys" if isinstance(hint, type) else "any")
