"""What the sources share: the item they give, and the reading of their files."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvlm_flwr.data import foreign
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.tasks.classification import parse

Picture = Path | bytes | Callable[[], bytes]
"""A file of the source, an encoded picture, or what makes one when it is needed."""

PUBLISHED, PICTURE = "published", "picture"  # splits: as the files say, or by picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question about one picture of a source.

    Attributes:
        id: unique within the source.
        split: "train" or "test".
        task: a module of `fedvlm_flwr.tasks`.
        picture: what the picture is copied from.
        image: where it goes, relative to the dataset's image folder, with "/" between its parts
            ("slake/xmlab0/source.jpg"); items with the same picture name the same place.
        question: without the image mark.
        answer: boxes in it are [x, y, width, height] in fractions of the picture.
        fields: what partitions may go by (manufacturer, organ, topic, ...).
    """

    id: str
    split: str
    task: str
    picture: Picture
    image: str
    question: str
    answer: str
    fields: Mapping[str, str] = field(default_factory=dict)


def require(path: Path, what: str) -> Path:
    """The path, if it exists.

    Raises:
        DataError: it does not; names it and what it should be.
    """
    if not path.exists():
        raise DataError(f"There is no {path}, which should be {what}; check the folder of `raw`.")
    return path


def read_json(path: Path, what: str, object_hook: Callable[[Any], Any] | None = None) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it is missing or is no JSON.
    """
    require(path, what)
    try:
        return foreign.parse_json(foreign.text_of(path), object_hook)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no JSON ({error}); download it again.") from error


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file, without their ends; a last empty line is none.

    Raises:
        DataError: it is missing or is no text.
    """
    require(path, what)
    try:
        # Not splitlines, which takes further signs for ends of lines.
        lines = foreign.text_of(path).split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no text ({error}); download it again.") from error
    return lines[:-1] if lines[-1] == "" else lines


def read_csv(path: Path, columns: Sequence[str], what: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a header; `.gz` is unpacked on the way.

    Raises:
        DataError: it is missing, is no CSV text, or lacks one of the columns.
    """
    if not require(path, what).is_file():
        raise DataError(f"{path} is no regular file; it should be {what}.")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for name in columns:
                if name not in (reader.fieldnames or ()):
                    raise DataError(
                        f"{path} has no column '{name}' (its columns: "
                        f"{', '.join(reader.fieldnames or ())}); it should be {what}."
                    )
            yield from reader
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); download it again.") from error


def key_of(record: Any, key: str, where: str) -> Any:
    """A value of a record.

    Raises:
        DataError: the record has no such key; names its place.
    """
    if not isinstance(record, Mapping) or key not in record:
        keys = ", ".join(map(str, record)) if isinstance(record, Mapping) else repr(record)[:60]
        raise DataError(f"{where} has no '{key}' (it has: {keys}); download the source again.")
    return record[key]


def text_of(value: Any) -> str:
    """A value as text, without blanks around it; nothing where there is no value."""
    return "" if value is None else str(value).strip()


def require_some(source: str, key: str, names: list[str], choices: Sequence[str]) -> None:
    """Check a choice of one or more of a source's tasks, languages, ...

    Raises:
        ConfigError: nothing is chosen, or something that the source does not have.
    """
    if not names or any(name not in choices for name in names):
        raise ConfigError(
            f"{key}={names} of the source {source} must name some of {', '.join(choices)}."
        )


def require_form(key: str, text: str, field: str) -> None:
    """Check that a form of a question or an answer holds its field, such as {region}, once.

    Raises:
        ConfigError: it does not; names the key.
    """
    if text.count(f"{{{field}}}") != 1:
        raise ConfigError(f"{key}={text!r} must hold {{{field}}} exactly once; change it.")


def require_class_form(key: str, text: str) -> None:
    """Check that a class can be read out of an answer of this form.

    Raises:
        ConfigError: classification reads something else than what stands for {label}.
    """
    if parse(text.replace("{label}", "label 707-320")) != "label 707-320":
        raise ConfigError(
            f"{key}={text!r} does not give back its class; end it with 'is {{label}}.', or write "
            "{label} alone."
        )
