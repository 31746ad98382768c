"""Typed fields of a record: each has a type, a unit and a range, judged where it comes in."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

R = TypeVar("R", ArrayRecord, ConfigRecord, MetricRecord)

LONGEST = 10_000  # entries of a list


class RejectedMessage(Exception):  # noqa: N818  # a verdict, caught where replies are counted
    """A message that is left out; the text is the reason."""


class LostState(RejectedMessage):
    """A client has lost what it was to keep."""


def declared(
    unit: str, low: float, high: float, default: Any = MISSING, *, needed: bool = False
) -> Any:
    """A dataclass field that travels.

    Args:
        unit: what a value counts, for the documentation.
        low: the least good value (of a text: of its length; of a list: of each entry).
        high: the largest one.
        default: what an absent value means; none: it must be there.
        needed: it has a default, and a round goes wrong where it is left out all the same.
    """
    facts = {"unit": unit, "low": low, "high": high, "needed": needed or default is MISSING}
    return field(default=default, metadata=facts)


@cache
def type_hints(cls: type[Any]) -> Mapping[str, Any]:
    """The types of a message class, which no message changes."""
    return get_type_hints(cls)


def declared_fields(cls: type[Any]) -> list[Field[Any]]:
    """The fields of a message class that `declared` made."""
    return [item for item in fields(cls) if "unit" in item.metadata]


def is_needed(item: Field[Any]) -> bool:
    """Whether a round goes wrong without the field."""
    return bool(item.metadata.get("needed"))


def to_values(message: Any) -> dict[str, Any]:
    """The declared fields as a record takes them; what is None or empty is left out.

    Flower cannot weigh an empty text, and an absent value has a default on the other side.
    """
    values = {item.name: getattr(message, item.name) for item in declared_fields(type(message))}
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    whole = {name: int(v) if isinstance(v, bool) else v for name, v in plain.items()}
    return {name: value for name, value in whole.items() if value not in (None, "", [])}


def from_values(cls: type[Any], record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The declared fields of `cls` out of a record; values that are not declared are not read.

    Raises:
        RejectedMessage: a value is absent, of another type or out of range.
    """
    hints = type_hints(cls)  # type: ignore[arg-type]  # mypy knows no hashable type[Any]
    values: dict[str, Any] = {}
    for item in declared_fields(cls):
        if item.name in record:
            where = f"'{name}.{item.name}'"
            values[item.name] = _checked(record[item.name], hints[item.name], item, where)
        elif item.default is MISSING:
            raise RejectedMessage(f"its record '{name}' lacks '{item.name}'")
    return values


def _checked(value: Any, hint: Any, item: Field[Any], where: str) -> Any:
    low, high = item.metadata["low"], item.metadata["high"]
    if hint == tuple[int, ...]:
        if not isinstance(value, list) or len(value) > LONGEST:
            raise RejectedMessage(f"{where} is no list of at most {LONGEST} numbers")
        return tuple(_number(entry, int, low, high, where) for entry in value)
    if hint is str:
        if not isinstance(value, str) or not low <= len(value) <= high:
            raise RejectedMessage(f"{where} is no text of {low:g} to {high:g} characters")
        return value
    if hint is bool:
        return bool(_number(value, int, 0, 1, where))
    return _number(value, int if hint is int else float, low, high, where)


def _number(value: Any, kind: type, low: float, high: float, where: str) -> Any:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or (kind is int and value != int(value)) or not low <= value <= high:
        text = f"{value:.6g}" if isinstance(value, int | float) else type(value).__name__
        raise RejectedMessage(f"it reports {where}={text}, which must be in [{low:g}, {high:g}]")
    return kind(value)


def record_of(content: RecordDict, name: str, kind: type[R]) -> R:
    """A record of a message.

    Raises:
        RejectedMessage: it is absent or of another kind.
    """
    if name not in content:
        raise RejectedMessage(f"its record '{name}' is missing")
    record = content[name]
    if not isinstance(record, kind):
        raise RejectedMessage(
            f"its record '{name}' is a {type(record).__name__}, not a {kind.__name__}"
        )
    return record


def optional_record(content: RecordDict, name: str) -> ArrayRecord | None:
    """A record of arrays, None where the message has none.

    Raises:
        RejectedMessage: it is of another kind.
    """
    return record_of(content, name, ArrayRecord) if name in content else None


def only(content: RecordDict, *names: str) -> None:
    """Refuse what no one has declared.

    Raises:
        RejectedMessage: the message holds a record of another name.
    """
    if odd := sorted(set(content) - set(names)):
        raise RejectedMessage(f"it holds the record '{odd[0][:40]}', which nobody asked for")
