"""Find the one module behind a name that a user chose (an algorithm, dataset, task or model)."""

import importlib
import pkgutil
import re
from types import ModuleType

from fedvlm_flwr.errors import ConfigError


def available(package: str) -> list[str]:
    """Names of the modules of a package that can be chosen, sorted.

    `base` and subpackages hold what the choices share, and are none themselves.
    """
    found = importlib.import_module(package)
    modules = pkgutil.iter_modules(found.__path__)
    return sorted(m.name for m in modules if not m.ispkg and m.name != "base")


def load_module(package: str, name: str, what: str) -> ModuleType:
    """Import `package.name`.

    Raises:
        ConfigError: there is no such module; lists the ones there are.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in available(package):
        known = ", ".join(available(package))
        raise ConfigError(f"Unknown {what} '{name}'; choose one of: {known}.")
    return importlib.import_module(f"{package}.{name}")
