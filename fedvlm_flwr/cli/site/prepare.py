"""Fetch or prepare the base model of a run at this site, and say where it is.

usage: fedvlm site prepare [KEY=VALUE ...]

Keys are those of the run, as whoever starts it has told: the base's folder is named by them.
HF_HOME and FEDVLM_HOME must be those of the site's SuperNode. What is printed as the sha256 is the
same at every site and at the server where the base is the same.
"""

import hashlib
import shlex
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from fedvlm_flwr.cli.prepare import prepare
from fedvlm_flwr.models import prepared_model
from fedvlm_flwr.process import this_process

CHUNK = 2**20


def main(arguments: list[str]) -> int:
    """Prepare the base.

    Raises:
        ConfigError: a key is wrong.
        ModelError: the base cannot be fetched or made.
    """
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    config = this_process().compose({"overrides": shlex.join(arguments)})
    prepare(config, Console())
    folder = prepared_model(config.model)
    if folder is not None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        print(f"sha256 {sha256_of(files, folder)} ({len(files)} files)")
    return 0


def sha256_of(files: Iterable[Path], folder: Path) -> str:
    """The sha256 over names and contents of files in a folder, in hex."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
