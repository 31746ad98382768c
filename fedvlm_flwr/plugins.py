"""Find the one module behind a name that a user chose (an algorithm, dataset, task or model)."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar, cast

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugin_folder import extend

Contract = TypeVar("Contract")


def available(package: str, inner: str | None = None, packages: bool = False) -> list[str]:
    """Names in a package that can be chosen, sorted; those of the plugin folder among them.

    Args:
        package: its modules are the choices; `base` and subpackages hold what they share.
        inner: where given, the choices are the subpackages that have a module of this name.
        packages: subpackages are choices like modules.
    """
    root = importlib.import_module(package)
    extend(root.__path__, package)
    modules = list(pkgutil.iter_modules(root.__path__))
    if inner is None:
        names = {m.name for m in modules if packages or not m.ispkg}
        return sorted(names - {"base"})
    folders = [Path(place) / m.name for place in root.__path__ for m in modules if m.ispkg]
    return sorted({folder.name for folder in folders if (folder / f"{inner}.py").is_file()})


def load_module(
    package: str, name: str, what: str, inner: str | None = None, packages: bool = False
) -> ModuleType:
    """Import `package.name`, or `package.name.inner`; see `available` for what is there.

    Raises:
        ConfigError: there is no such module; lists the ones there are.
    """
    names = available(package, inner, packages)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in names:
        raise ConfigError(f"Unknown {what} '{name}'; choose one of: {', '.join(names)}.")
    return importlib.import_module(".".join(filter(None, (package, name, inner))))


def load_as(
    contract: type[Contract],
    package: str,
    name: str,
    what: str,
    inner: str | None = None,
    *,
    packages: bool = False,
) -> Contract:
    """Import a module, see `load_module`, that keeps a contract.

    Args:
        contract: a Protocol of `fedvlm_flwr.contracts`.

    Raises:
        ConfigError: there is no such module, or it lacks something of the contract; names it.
    """
    module = load_module(package, name, what, inner, packages)
    missing = [text for text, there in _members(contract, module) if not there]
    if missing:
        raise ConfigError(
            f"The {what} '{name}' ({module.__name__}) lacks {', '.join(missing)}; write it as "
            f"{contract.__name__} in fedvlm_flwr/contracts.py says."
        )
    return cast(Contract, module)


def _members(contract: type, module: ModuleType) -> Iterator[tuple[str, bool]]:
    """Each member of a contract, a function with its parentheses, and whether a module has it."""
    for part in reversed(contract.__mro__):
        if part is Protocol or not getattr(part, "_is_protocol", False):
            continue
        for name in vars(part).get("__annotations__", {}):
            yield name, hasattr(module, name)
        for name, value in vars(part).items():
            if callable(value) and not name.startswith("_"):
                yield f"{name}()", callable(getattr(module, name, None))
