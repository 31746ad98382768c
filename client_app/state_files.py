"""The files of what stays with a client: read and written with a sentence where that fails."""

from pathlib import Path

from safetensors import SafetensorError

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.errors import StateError
from fedvlm_flwr.tensor_files import DamagedFile, load_tensors, save_tensors

Facts = dict[str, str | int]


def load_state(path: Path, facts: Facts, when: str) -> Arrays:
    """The arrays of a file that a client has saved.

    Args:
        facts: whose they are.
        when: in words, what they are.

    Raises:
        StateError: it is missing or damaged.
    """
    try:
        return load_tensors(path, facts)
    except DamagedFile as damage:
        raise StateError(
            f"What this client saved {when} cannot be used: {damage}; restore the file or start a "
            "new run."
        ) from damage


def save_state(path: Path, arrays: Arrays, facts: Facts) -> None:
    """Save a client's arrays.

    Raises:
        StateError: the file cannot be written.
    """
    try:
        save_tensors(path, arrays, facts)
    except (SafetensorError, OSError) as error:
        raise StateError(
            f"What this client saves between rounds cannot be written ({path}: {error}); make room "
            "there, or set state-dir in the node-config to another folder."
        ) from error
