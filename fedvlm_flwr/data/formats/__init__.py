"""The forms in which people keep tables of questions: one module each, chosen by a file's ending.

A form is a module with `ENDINGS` and `read(path) -> Table`. It knows how a file holds rows, and
nothing of what they mean.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fedvlm_flwr.contracts import TableFormat
from fedvlm_flwr.data.formats.base import Table
from fedvlm_flwr.plugins import available, load_as


@cache
def formats() -> Mapping[str, TableFormat[Table]]:
    """The module for each ending, in lower case.

    Raises:
        ConfigError: a module does not keep the contract.
    """
    modules = [load_as(TableFormat, __name__, name, "format") for name in available(__name__)]
    return {ending: module for module in modules for ending in module.ENDINGS}


def read_table(path: Path) -> Table:
    """The table of a file.

    Raises:
        DataError: it cannot be read; names the file, and the line where there is one. Rows that
            are read later raise it as well.
    """
    return formats()[path.suffix.lower()].read(path)
