"""Which files of a folder are tables, and of which split each is, by the Hugging Face hub's rules.

A split is told by a word of a folder's or a file's name (`train/`, `test-00000-of-00001.parquet`,
`my_val.jsonl`); words end where a blank, a digit or one of "-._" stands. Hidden files and those
that the hub passes over are no tables.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath

from fedvlm_flwr.data.layout import TEST, TRAIN, VALIDATION
from fedvlm_flwr.errors import DataError

SPLITS = (TRAIN, VALIDATION, TEST)
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # of TestSet
JOINED = re.compile(r"\A(train|training|valid|validation|val|test|testing)(?:data|set|split)\Z")
# Of tables that are not read, and would be missed without a word.
OTHER: tuple[str, ...] = (".xlsx", ".xls", ".ods", ".feather", ".arrow", ".pkl", ".sav", ".dta")
OTHER += (".csv.gz", ".tsv.gz", ".json.gz", ".jsonl.gz")


@cache
def split_words() -> Mapping[str, str]:
    """The split that a word means: the hub's words, and SLAKE's `validate`."""
    from datasets.data_files import SPLIT_KEYWORDS

    words = {word: str(split) for split, own in SPLIT_KEYWORDS.items() for word in own}
    return words | {"validate": VALIDATION}


def table_files(root: Path, endings: Collection[str], names: Sequence[str] | None) -> list[Path]:
    """The tables below a folder, sorted.

    Args:
        endings: of tables, in lower case.
        names: what they are called, relative to the folder, with * and ?; None: anything.

    Raises:
        DataError: a table that is there, or is named, cannot be read; nothing has a name.
    """
    from datasets.data_files import FILES_TO_IGNORE

    paths, unmatched = [], set(names or ())
    for path in _files(root):
        name = path.relative_to(root).as_posix()
        is_table = path.suffix.lower() in endings and path.name not in FILES_TO_IGNORE
        own = [one for one in names or () if fnmatchcase(name, one.removeprefix("./"))]
        unmatched -= set(own)
        unread = name.lower().endswith(OTHER) if names is None else bool(own) and not is_table
        if unread:
            raise DataError(
                f"{path} is no table that can be read ({', '.join(endings)}); save it as one of "
                "these, or name the tables with dataset.files=[<the tables>]."
            )
        if is_table and (names is None or own):
            paths.append(path)
    if unmatched:
        raise DataError(
            f"dataset.files names {sorted(unmatched)[0]}, and {root} has no such file; names are "
            "relative to that folder."
        )
    return sorted(paths)


def split_of_file(name: PurePosixPath, more: Mapping[str, str]) -> str | None:
    """The split that a file's name tells, or the names of its folders; None: none of them.

    Args:
        name: relative to the dataset's folder.
        more: what further words mean.

    Raises:
        DataError: its names tell two splits.
    """
    meanings = {**split_words(), **more}
    words = {
        JOINED.sub(r"\1", word)
        for part in name.parts
        for word in re.split(r"[-._ 0-9]+", HUMP.sub(" ", part).lower())
    }
    whole = {part.lower() for part in (*name.parts[:-1], name.stem)}
    splits = {meanings[word] for word in sorted(words | whole) if word in meanings}
    if len(splits) > 1:
        raise DataError(
            f"The name of {name} tells several splits ({', '.join(sorted(splits))}); rename it."
        )
    return splits.pop() if splits else None


def split_of_word(word: str, more: Mapping[str, str], where: str) -> str:
    """The split that a column names.

    Raises:
        DataError: it is none; names its place.
    """
    split = {**split_words(), **more}.get(word.strip().lower())
    if split is None:
        raise DataError(
            f"{where} is of the split {word!r}; use {TRAIN}, {VALIDATION} or {TEST}, or say which "
            f"it is with `+dataset.splits.{word}=<split>`."
        )
    return split


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in names:
            if not name.startswith("."):
                yield Path(folder, name)
