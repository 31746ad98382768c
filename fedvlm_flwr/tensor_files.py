"""Tensor files that a run needs again: written whole, with whose they are and a checksum inside.

safetensors' own reader notices a file that is cut, but neither a flipped bit nor a file that was
put in the place of another.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.paths import atomic_path

CHECKSUM, FACTS = "sha256", "facts"


class DamagedFile(Exception):  # noqa: N818  # a finding about a file
    """A tensor file is not what was written, or is another one; the text says what is wrong."""


def save_tensors(path: Path, arrays: Arrays, facts: Mapping[str, str | int]) -> None:
    """Write arrays so that a reader sees the old file or the new, never half of one.

    Args:
        facts: whose they are (`{"client": 3, "round": 4}`); whoever reads them names the same.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps(dict(facts), sort_keys=True)
    metadata = {FACTS: text, CHECKSUM: checksum(arrays, text)}
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, metadata)


def load_tensors(path: Path, facts: Mapping[str, str | int]) -> Arrays:
    """The arrays that were saved with these facts.

    Raises:
        DamagedFile: the file is not there, is cut or changed, or has other facts.
    """
    text = json.dumps(dict(facts), sort_keys=True)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays: Arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DamagedFile(f"{path} cannot be read ({error})") from error
    if metadata.get(FACTS) != text:
        raise DamagedFile(f"{path} is of {metadata.get(FACTS, 'no known place')} and not of {text}")
    if metadata.get(CHECKSUM) != checksum(arrays, text):
        raise DamagedFile(f"{path} has changed since it was written (its checksum differs)")
    return arrays


def checksum(arrays: Arrays, facts: str) -> str:
    """The sha256 over the facts, and the names, types, shapes and numbers of arrays, in hex."""
    digest = hashlib.sha256(facts.encode())
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
