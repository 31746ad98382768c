"""The text of a value: answers of many types, and fields that partitions go by."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np

from fedvlm_flwr.errors import DataError

WHOLE = re.compile(r"\A(-?\d+)\.0+\Z")  # a whole number as some tools write it

# A missing value as tools write it where all is text; "none" and "NA" may be answers.
WRITTEN_OUT = frozenset({"nan", "n/a", "#n/a", "<na>", "null"})


def is_written_out(value: Any) -> bool:
    """Whether a text says that there is no value."""
    return isinstance(value, str) and value.strip().lower() in WRITTEN_OUT


def is_missing(value: Any) -> bool:
    """Whether there is no value: null, NaN, an empty text or list."""
    return value is None or value in ("", []) or (isinstance(value, float) and math.isnan(value))


def text_of(value: Any, what: str) -> str:
    """A value as text: true is yes, a number is its shortest text, a missing value is empty.

    Raises:
        DataError: it is no such value; says what it is, and is no whole sentence.
    """
    if is_missing(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | Decimal | date | time):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if not isinstance(value, str):
        raise DataError(
            f"the {what} is {json.dumps(value, default=str)[:80]}, which is no text; write it as "
            "one"
        )
    return value


def references_of(value: Any) -> list[str]:
    """The texts that each count as right: one answer, or a list of several people's.

    Four numbers are a box. In a list an answer may also be an object with the text under `answer`,
    as VQAv2 has it.

    Raises:
        DataError: as `text_of`.
    """
    if not isinstance(value, list):
        return [text_of(value, "answer")]
    boxes = value if all(map(_is_box, value)) else [value] if _is_box(value) else []
    if boxes:
        return [", ".join(map(str, boxes))]
    several = [one.get("answer") if isinstance(one, dict) else one for one in value]
    return [text for one in several if (text := text_of(one, "answer").strip())] or [""]


def _is_box(value: Any) -> bool:
    """Whether a value is four numbers, and so no list of answers."""
    numbers = isinstance(value, list) and len(value) == len("xywh")
    return numbers and all(isinstance(one, int | float) for one in value)


def taught(references: Sequence[str], rule: str, draw: np.random.Generator) -> str:
    """The one answer of several that a model is taught.

    Args:
        rule: `majority`, the most frequent, of several the first; `first`; `any`, a drawn one.
    """
    if rule == "majority":
        counts = Counter(references)
        return max(references, key=lambda text: counts[text])
    return references[0 if rule == "first" else int(draw.integers(len(references)))]


def field_text(value: Any) -> str | None:
    """A value that a partition may go by, 2 and 2.0 being one; None: it is not of one value."""
    if isinstance(value, list | dict | bytes | tuple):
        return None
    return WHOLE.sub(r"\1", text_of(value, "field").strip())
