"""Models that are made once and then only read: shipped, or built aside, renamed, verified."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.machine_errors import machine_sentence
from fedvlm_flwr.paths import PACKAGE, models_folder, share, shipped_models

MANIFEST = "manifest.json"


def prepared_folder(name: str, recipe: Mapping[str, Any]) -> Path:
    """`$FEDVLM_HOME/models/<name>-<hash>`, the hash over everything that determines the model."""
    text = json.dumps(recipe, sort_keys=True)
    return models_folder() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def prepare(name: str, recipe: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """The folder that is there, else one that is built; two processes never build it twice.

    Args:
        name: the model's name.
        recipe: plain values (as in JSON) that determine the model.
        build: writes the model's files into the empty folder it is given.

    Raises:
        ModelError: see `find`, or the folder cannot be written.
    """
    existing = find(name, recipe)
    if existing is not None:  # it appears whole, so that nobody need write beside it to read it
        return existing
    folder = prepared_folder(name, recipe)
    try:
        _build(folder, recipe, build)
    except OSError as error:
        reason = machine_sentence(error)
        if reason is None:
            raise
        raise ModelError(
            f"The model '{name}' cannot be kept in {folder.parent}: {reason}"
        ) from error
    return folder


def _build(folder: Path, recipe: Mapping[str, Any], build: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock")):
        if folder.exists():
            verify(folder)
            return
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            start = time.monotonic()
            build(aside)
            write_manifest(aside, recipe, time.monotonic() - start)
            share(aside)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)  # gone already after a good build


def find(name: str, recipe: Mapping[str, Any]) -> Path | None:
    """The folder of a model of this recipe, verified: shipped, else prepared here; None: neither.

    Raises:
        ModelError: its files are not what was written.
    """
    own = prepared_folder(name, recipe)
    for place in shipped_models():
        if (folder := place / own.name).exists():
            verify(folder, f"install {PACKAGE.name} again.")
            return folder
    if not own.exists():
        return None
    verify(own)
    return own


def require(name: str, recipe: Mapping[str, Any]) -> Path:
    """The folder of a model of this recipe, verified, see `find`.

    Raises:
        ModelError: there is none, or its files are not what was written.
    """
    folder = find(name, recipe)
    if folder is None:
        where = prepared_folder(name, recipe)
        raise ModelError(f"The model '{name}' is not prepared ({where}); run `fedvlm prepare`.")
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock; the system frees it when the process ends in whatever way."""
    handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)  # it may be another's
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_manifest(folder: Path, recipe: Mapping[str, Any], seconds: float) -> None:
    """Write down the recipe, the building time in seconds and each file's sha256."""
    content = {
        "recipe": dict(recipe),
        "seconds": round(seconds, 1),
        "sha256": {path.name: digest(path) for path in sorted(folder.iterdir())},
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def verify(folder: Path, mend: str | None = None) -> None:
    """Check every file of a prepared folder against its manifest.

    Args:
        mend: what is to be done about a damaged one; None: to make it again.

    Raises:
        ModelError: a file is missing or is not what was written; says how to mend it.
    """
    try:
        _verify(folder, mend or f"delete {folder} and run `fedvlm prepare`.")
    except PermissionError as error:
        raise ModelError(
            f"{error.filename} is another user's and cannot be read; ask for `chmod -R a+rX "
            f"{folder}`, or set FEDVLM_HOME to a folder of your own."
        ) from error


def _verify(folder: Path, mend: str) -> None:
    try:
        expected = dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["sha256"])
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / MANIFEST} is missing or unreadable; {mend}") from error
    for name, sha256 in expected.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path} is missing; {mend}")
        if digest(path) != sha256:
            raise ModelError(f"{path} is corrupt (its sha256 is not the recorded one); {mend}")


def digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
