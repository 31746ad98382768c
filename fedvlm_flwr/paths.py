"""Where things lie: the user's cache folder, the shipped `conf/`, and atomic writes."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from fedvlm_flwr.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent

USER_HOME = Path("~/.cache/fedvlm_flwr")
SHIPPED = Path("models", "shipped")  # in the package: prepared models that travel with it

# Read once, since it can only be read by changing it.
UMASK = os.umask(0o077)
os.umask(UMASK)


def fedvlm_home() -> Path:
    """The folder of caches and runs: `$FEDVLM_HOME`, or `~/.cache/fedvlm_flwr`.

    Raises:
        ConfigError: the user has no home folder.
    """
    return _expanded(Path(os.environ.get("FEDVLM_HOME") or USER_HOME))


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except RuntimeError as error:  # a container's user that no list knows
        raise ConfigError(
            f"{path} needs a home folder, and this user has none; set FEDVLM_HOME to a folder that "
            "you can write to."
        ) from error


def writable_home() -> Path:
    """Where runs write beside their folder: `fedvlm_home`, or `~/.cache/fedvlm_flwr`.

    The second is for a `$FEDVLM_HOME` that somebody else has prepared and that can only be read.
    """
    home = fedvlm_home()
    existing = next(path for path in (home, *home.parents) if path.exists())
    return home if os.access(existing, os.W_OK) else _expanded(USER_HOME)


def client_states() -> Path:
    """Where clients keep what stays with them, a folder for each run's id."""
    return writable_home() / "clients"


_MODELS: ContextVar[Path | None] = ContextVar("models", default=None)
_SHIPPED: ContextVar[bool] = ContextVar("shipped", default=True)


@contextmanager
def models_in(folder: str | None) -> Iterator[None]:
    """Have base models lie in a folder of the machine's own, see `models_folder`; None: no change.

    Args:
        folder: prepared models are looked for in it, and checkpoints by their hub id or name.
    """
    token = _MODELS.set(Path(folder).expanduser().resolve() if folder else _MODELS.get())
    try:
        yield
    finally:
        _MODELS.reset(token)


def models_folder() -> Path:
    """Where prepared models lie: `$FEDVLM_HOME/models`, unless `models_in` says otherwise."""
    return _MODELS.get() or fedvlm_home() / "models"


@contextmanager
def without_shipped_models() -> Iterator[None]:
    """Have no model that travels with the package used: those that are made here are."""
    token = _SHIPPED.set(False)
    try:
        yield
    finally:
        _SHIPPED.reset(token)


def shipped_models() -> Iterator[Path]:
    """Where the models that travel with the package may lie, the package's own folder first.

    Flower runs an app bundle, which takes no weights: there they are those of the package that is
    installed, which comes later on the path.
    """
    if _SHIPPED.get():
        packages = [PACKAGE, *(Path(place, PACKAGE.name) for place in sys.path)]
        yield from (package / SHIPPED for package in packages)


def own_checkpoint(source: str) -> Path | None:
    """A checkpoint of that name in the machine's own folder of models; None: there is none."""
    folder = _MODELS.get()
    path = folder / source if folder and not source.startswith(("/", ".", "~")) else None
    return path if path is not None and path.exists() else None


def share(path: Path) -> None:
    """Give a file, or a folder and all in it, the modes that the umask asks of new ones.

    Files made aside, and all of safetensors', can be read by their owner only.
    """
    for each in (path, *path.rglob("*")):
        each.chmod((0o777 if each.is_dir() else 0o666) & ~UMASK)


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
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        share(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(target: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never half."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
