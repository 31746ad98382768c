"""WebDataset: a tar whose files of one name, wherever they stand in it, are one record.

`0007.png` and `0007.json` are the picture and the columns of record 0007; a text file such as
`0007.answer.txt` or `0007.txt` is a column called `answer` or `txt`.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from fedvlm_flwr.data.foreign import regular
from fedvlm_flwr.data.formats.base import Table, Values, parse_json
from fedvlm_flwr.errors import DataError

ENDINGS: tuple[str, ...] = (".tar",)
KEY, PICTURE = "__key__", "image"
TEXTS = ("txt", "text", "cls")


def read(path: Path) -> Table:
    """See `fedvlm_flwr.data.formats`; records need not have the same columns."""
    columns = dict.fromkeys(name for row in _rows(path, pictures=False) for name in row)
    return Table(list(columns), _rows(path, pictures=True))


def _rows(path: Path, *, pictures: bool) -> Iterator[Values]:
    """The records; without `pictures` their places are empty, and nothing of them is read."""
    try:
        with tarfile.open(regular(path), "r:") as tar:
            groups: dict[str, list[tarfile.TarInfo]] = {}
            for member in tar:
                if member.isfile() and PurePosixPath(member.name).name[0] != ".":
                    groups.setdefault(_parts(member.name)[0], []).append(member)
            for key, group in groups.items():
                row: dict[str, Any] = {KEY: key}
                for member in group:
                    column = _parts(member.name)[1]
                    data = b""
                    if pictures or not _is_picture(column):
                        file = tar.extractfile(member)
                        assert file is not None  # a regular file has content
                        data = file.read()
                    _add(row, column, data, f"{member.name} of {path}")
                yield row
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read as tar ({error}); write it again.") from error


def _parts(name: str) -> tuple[str, str]:
    """A member's record, and which column of it it is: what stands after its first point."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    key, _, column = base.partition(".")
    return f"{folder}{slash}{key}", column.lower()


def _is_picture(column: str) -> bool:
    return f".{column.rpartition('.')[2]}" in Image.registered_extensions()


def _add(row: dict[str, Any], column: str, data: bytes, where: str) -> None:
    name, _, ending = f".{column}".rpartition(".")
    name = name.lstrip(".")
    if _is_picture(column):
        key = name or PICTURE
        row[key] = data if key not in row else [*_listed(row[key]), data]
    elif ending == "json":
        value = parse_json(_text(data, where), where)
        if not isinstance(value, dict):
            raise DataError(f"{where} is no object; write the record's columns as one.")
        row |= {str(key): one for key, one in value.items() if key not in row}
    elif ending in TEXTS:
        row[name or ending] = _text(data, where)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no UTF-8 text ({error}); write it as such.") from error
