"""Modules and YAML files of a user's own, in a folder that is laid out as the checkout is.

`$FEDVLM_PLUGINS` names it. What is added to a checkout as `strategies/<name>.py` and
`conf/algorithm/<name>.yaml` is found there by the same names; nothing of the package is replaced.
"""

import os
from collections.abc import Iterator, MutableSequence
from pathlib import Path

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.paths import PACKAGE, conf_dir

VARIABLE = "FEDVLM_PLUGINS"
ROOMS = ("fedvlm_flwr", "strategies", "client_app", "server_app")
PATTERNS = {**dict.fromkeys(ROOMS, "*.py"), "conf": "*.yaml"}  # all that a run reads of a checkout


def plugin_folder() -> Path | None:
    """The folder of `$FEDVLM_PLUGINS`; None: it is not set.

    Raises:
        ConfigError: there is no such folder, or a file in it has the name of one of the package.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    folder = Path(text).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"{VARIABLE}={text} is no folder; make it, or unset {VARIABLE}.")
    _require_new_names(folder)
    return folder


def _require_new_names(folder: Path) -> None:
    """Refuse files that would stand in the place of the package's.

    Those of the same content are none: an app bundle holds the plugins that it was made with.

    Raises:
        ConfigError: names the file.
    """
    if folder == PACKAGE.parent:
        raise ConfigError(f"{VARIABLE}={folder} is the package's own folder; name another one.")
    for name, path in files_in(folder):
        room, _, rest = name.partition("/")
        own = (conf_dir() if room == "conf" else PACKAGE.parent / room) / rest
        if path.name != "__init__.py" and own.is_file() and own.read_bytes() != path.read_bytes():
            raise ConfigError(
                f"{path} has the name of a file of fedvlm_flwr, which stays as it is; rename it."
            )


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """The modules and YAML files of a plugin folder, by their names in a checkout."""
    for room, pattern in PATTERNS.items():
        for path in sorted((folder / room).rglob(pattern)):
            yield path.relative_to(folder).as_posix(), path


def extend(places: MutableSequence[str], package: str) -> None:
    """Have a package's modules be looked for in the plugin folder too, while there is one.

    Args:
        places: its `__path__`, the package's own folder first.
        package: its dotted name.
    """
    folder = plugin_folder()
    more = folder.joinpath(*package.split(".")) if folder else None
    places[1:] = [str(more)] if more is not None and more.is_dir() else []


def conf_dirs() -> list[Path]:
    """The folders of YAML choices: the package's, then the plugins'."""
    folder = plugin_folder()
    own = [folder / "conf"] if folder is not None and (folder / "conf").is_dir() else []
    return [conf_dir(), *own]


def conf_file(group: str, name: str) -> Path | None:
    """The YAML of a choice; None: there is none."""
    paths = (folder / group / f"{name}.yaml" for folder in conf_dirs())
    return next((path for path in paths if path.is_file()), None)
