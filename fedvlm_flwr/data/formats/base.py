"""What the forms share: the table they give, the encoding of a text, records of JSON."""

import codecs
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fedvlm_flwr.data import foreign
from fedvlm_flwr.errors import DataError

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

Values = Mapping[str, Any]  # a row, by column


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file, to be read once, and the names of all their columns.

    Attributes:
        typed: whether values have types; else all are text, and a missing one may be written out.
    """

    columns: Sequence[str]
    rows: Iterator[Values]
    typed: bool = True


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """A file's text: UTF-8, or what its byte order mark says; ends of lines stay as they are.

    Raises:
        DataError: it cannot be read, or is no such text.
    """
    try:
        with foreign.regular(path).open("rb") as file:
            start = file.read(3)
        encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), "utf-8")
        with path.open(encoding=encoding, newline="") as text:
            yield text
    except UnicodeError as error:
        raise DataError(
            f"{path} is no UTF-8 text ({error}); write it as UTF-8, or as UTF-16 with a byte order "
            "mark."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); restore it.") from error


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text.

    Raises:
        DataError: it is none, see `fedvlm_flwr.data.foreign`; names its place.
    """
    try:
        return foreign.parse_json(text)
    except ValueError as error:
        raise DataError(f"{where} is no JSON ({error}); write one object a record.") from error
