"""Where things lie: the user's cache folder, the shipped `conf/`, and atomic writes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedvlm_flwr.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent


def fedvlm_home() -> Path:
    """The folder of caches and runs: `$FEDVLM_HOME`, or `~/.cache/fedvlm_flwr`."""
    return Path(os.environ.get("FEDVLM_HOME") or "~/.cache/fedvlm_flwr").expanduser().resolve()


def client_states() -> Path:
    """Where clients keep what stays with them, a folder for each run's id."""
    return fedvlm_home() / "clients"


def conf_dir() -> Path:
    """The folder of YAML choices.

    It stands beside the package in a checkout and in the app bundle that Flower runs, and inside
    the package in an installed wheel.

    Raises:
        ConfigError: neither place holds a `config.yaml`.
    """
    for folder in (PACKAGE.parent / "conf", PACKAGE / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(
        f"No conf/config.yaml stands beside or inside {PACKAGE}; reinstall fedvlm_flwr."
    )


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `target` that replaces it when the block ends without error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(target: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never half."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
