"""Raw sources: one module each, see `fedvlm_flwr.contracts.SourceKind`.

`read` takes the folder as it is after download and gives every question that the dataset asks. It
raises a `DataError` where the folder is not the one it should be (a missing file, a file that is no
JSON, a missing column or key); a record that is merely bad (an empty answer, a missing picture) is
given as it is, for the check to find. What a source leaves out it may count, and return the counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedvlm_flwr.contracts import SourceKind
from fedvlm_flwr.plugins import load_as

if TYPE_CHECKING:
    from fedvlm_flwr.data.sources.base import Item


def source_module(name: str) -> SourceKind[Any, Item]:
    """The module of a source.

    Raises:
        ConfigError: there is none, or it does not keep the contract.
    """
    return load_as(SourceKind, __name__, name, "source")
