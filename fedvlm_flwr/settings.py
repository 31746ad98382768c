"""A key of the configuration: what is written about it in the dataclass that has it.

Its type and its docstring (the text under the field: what it is, in which unit, what null means)
stand in the dataclass itself; `setting` adds what else is known of it.
"""

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, Literal

from fedvlm_flwr.errors import ConfigError

Read = Callable[[Any, str], Any]

# What becomes part of a path on a machine, perhaps somebody else's.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}")

SEEDS = 2**63 - 1  # the largest seed: of a signed number of 64 bits
TOKENS = 32_768  # the longest answer
LENGTH = 80  # characters of a value in a message


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a key beside its type.

    Attributes:
        resume: whether a run may go on with another value: it is `free` where no number changes.
        report: whether runs that differ in it are different experiments in a report, or the
            difference is `overlooked`; `replicate`: means are taken over it.
        place: it names the run's folder, which the command line settles; any text will do.
        path: it may hold a file or folder, which the command line makes absolute.
        above, least, below, most: the range of its numbers; without the first and the third.
        choices: all its values.
        name: it becomes part of a path, so that it is a plain name.
        read: makes the value of what the YAML holds, given that and its place; None: by its type.
        group: the key is a choice of this group; empty: it is none.
    """

    resume: Literal["same", "free"] = "same"
    report: Literal["differs", "overlooked", "replicate"] = "differs"
    place: bool = False
    path: bool = False
    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    name: bool = False
    read: Read | None = None
    group: str = ""

    def check(self, value: Any, where: str) -> None:
        """Refuse a value out of range; of a list or a mapping, each of its entries.

        Raises:
            ConfigError: names the key and its value, and says what it may be.
        """
        if isinstance(value, list):
            twice = next((w for i, w in enumerate(value) if w in value[:i]), None)
            if isinstance(twice, str):
                raise ConfigError(f"{where} names '{twice[:80]}' twice; name each once.")
            for i, item in enumerate(value):
                self.check(item, f"{where}[{i}]")
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self.check(item, f"{where}.{key}")
        elif isinstance(value, str) and self.name and not NAME.fullmatch(value):
            raise ConfigError(
                f"{where}={short(value)} is no name; use 1 to 100 letters, digits, '.', '_' and "
                "'-', a letter or a digit first."
            )
        elif isinstance(value, str) and self.choices and value not in self.choices:
            choices = ", ".join(self.choices)
            raise ConfigError(f"{where}={short(value)} is unknown; choose one of: {choices}.")
        elif isinstance(value, int | float) and (words := self._out_of_range(value)):
            raise ConfigError(f"{where}={short(value)} must {words}.")

    @property
    def span(self) -> str:
        """The range as text, [0, 1); empty where it is open on a side."""
        low, high = self._ends
        if low is None or high is None:
            return ""
        left, right = "[" if self.above is None else "(", "]" if self.below is None else ")"
        return f"{left}{low:g}, {high:g}{right}"

    @property
    def _ends(self) -> tuple[float | None, float | None]:
        low = self.least if self.above is None else self.above
        return low, self.most if self.below is None else self.below

    def _out_of_range(self, value: float) -> str:
        """What the number must be, where it is not so."""
        low, high = self._ends
        if low is None and high is None:
            return ""
        too_low = low is not None and not (value >= low if self.above is None else value > low)
        too_high = high is not None and not (value <= high if self.below is None else value < high)
        if not too_low and not too_high and math.isfinite(value):
            return ""
        if self.span:
            return f"be in {self.span}"
        if low is None:
            return f"be {'at most' if self.below is None else 'less than'} {high:g}"
        if self.above is not None:
            return f"be finite and greater than {low:g}"
        return "not be negative" if low == 0 else f"be finite and at least {low:g}"


def short(value: Any) -> str:
    """A value as a message shows it, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 2 * LENGTH:  # Python writes no huge ones
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= LENGTH else f"{text[:LENGTH]}..."


FACTS = "facts"
STRICT = Facts()  # of a key of which nothing is said, or which nobody knows


def setting(**facts: Any) -> Mapping[str, Facts]:
    """The metadata of a dataclass field: `lr: float = field(metadata=setting(above=0))`.

    Args:
        facts: see `Facts`.
    """
    return {FACTS: Facts(**facts)}


def carrier(**facts: Any) -> Mapping[str, Facts]:
    """The metadata of a key that says how a run is carried out, and changes none of its numbers."""
    return setting(resume="free", report="overlooked", **facts)


def facts_of(each: Field[Any]) -> Facts:
    """The facts of a dataclass field."""
    facts: Facts = each.metadata.get(FACTS, STRICT)
    return facts


def docs_of(cls: type[Any]) -> Mapping[str, str]:
    """The docstring of each field of a dataclass, inherited ones included, on one line each.

    It is the text under the field; a field without one is missing here.
    """
    docs: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if "__dataclass_fields__" not in vars(owner):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for line, after in zip(tree.body, tree.body[1:], strict=False):
            is_field = isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if is_field and is_text and isinstance(after.value.value, str):  # type: ignore[attr-defined]
                docs[line.target.id] = " ".join(after.value.value.split())  # type: ignore[attr-defined]
    return {each.name: docs[each.name] for each in fields(cls) if each.name in docs}
