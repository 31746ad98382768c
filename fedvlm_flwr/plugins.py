"""Find the one module behind a name that a user chose (an algorithm, dataset, task or model)."""

import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

from fedvlm_flwr.errors import ConfigError


def available(package: str, inner: str | None = None) -> list[str]:
    """Names in a package that can be chosen, sorted.

    Args:
        package: its modules are the choices; `base` and subpackages hold what they share.
        inner: where given, the choices are the subpackages that have a module of this name.
    """
    root = importlib.import_module(package)
    modules = list(pkgutil.iter_modules(root.__path__))
    if inner is None:
        return sorted(m.name for m in modules if not m.ispkg and m.name != "base")
    folders = [Path(place) / m.name for place in root.__path__ for m in modules if m.ispkg]
    return sorted({folder.name for folder in folders if (folder / f"{inner}.py").is_file()})


def load_module(package: str, name: str, what: str, inner: str | None = None) -> ModuleType:
    """Import `package.name`, or `package.name.inner`.

    Raises:
        ConfigError: there is no such module; lists the ones there are.
    """
    names = available(package, inner)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in names:
        raise ConfigError(f"Unknown {what} '{name}'; choose one of: {', '.join(names)}.")
    return importlib.import_module(".".join(filter(None, (package, name, inner))))
