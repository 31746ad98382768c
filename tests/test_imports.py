"""Who may import whom, read from the code without running it."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("fedvlm_flwr", "strategies", "client_app", "server_app")
HEAVY = {"torch", "transformers", "peft"}
LOADERS = {"import_module", "load_module", "load_component", "__import__"}


class Import(NamedTuple):
    """A module that another one imports; lazily if inside a function, or for types only."""

    name: str
    lazy: bool


class Module(NamedTuple):
    """The text of a module; packages resolve relative imports against themselves."""

    source: str
    is_package: bool = False


Modules = Mapping[str, Module]


def project() -> dict[str, Module]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found[name] = Module(path.read_text(encoding="utf-8"), is_package)
    return found


def imports(name: str, module: Module) -> set[Import]:
    """Every module that one imports; `from a import b` may mean `a.b`, so both are given."""
    return set(_imports(ast.parse(module.source), name, module.is_package, lazy=False))


def _imports(node: ast.AST, name: str, is_package: bool, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        inside |= isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(child, name, is_package)
            yield Import(base, lazy)
            yield from (Import(f"{base}.{alias.name}", lazy) for alias in child.names)
        elif isinstance(child, ast.Call):
            yield from (Import(text, lazy) for text in _loaded(child))
        yield from _imports(child, name, is_package, inside)


def _absolute(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    up = node.level - 1 if is_package else node.level
    parts = name.split(".")
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


def _loaded(call: ast.Call) -> Iterator[str]:
    """Names given as text to what imports by name."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else None
    called = call.func.id if isinstance(call.func, ast.Name) else called
    if called in LOADERS:
        for argument in call.args[:1]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value.partition(":")[0]


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


class Rule(NamedTuple):
    """Modules in `who` but not in `but` import nothing of `what` (lazily neither, unless said)."""

    who: tuple[str, ...]
    what: tuple[str, ...]
    but: tuple[str, ...] = ()
    lazily: bool = False


APPS = ("client_app", "server_app")
CLI = ("fedvlm_flwr.cli",)
API = ("fedvlm_flwr.api",)  # the same for people who write Python
RULES = (
    Rule(("fedvlm_flwr",), (*APPS, "strategies"), but=(*CLI, *API)),
    Rule(CLI, (*APPS, "strategies"), lazily=True),
    Rule(("strategies",), APPS),
    Rule(("client_app",), ("server_app",)),
    Rule(("server_app",), ("client_app",)),
    Rule(("fedvlm_flwr.engines",), ("strategies", "fedvlm_flwr.models")),
    Rule(PACKAGES, CLI, but=(*CLI, *API)),
    Rule(PACKAGES, ("tests",)),
)


def violations(modules: Modules) -> list[str]:
    return [
        f"{name} imports {found.name}"
        for name, module in modules.items()
        for rule in RULES
        if within(name, rule.who) and not within(name, rule.but)
        for found in sorted(imports(name, module))
        if within(found.name, rule.what) and not (rule.lazily and found.lazy)
    ]


def heavy_at_start(modules: Modules, start: str) -> list[str]:
    """Chains of module-level imports by which `start` brings in a heavy package."""
    chains: dict[str, str] = {}
    todo = [(package, package) for package in _with_parents(start)]
    result = []
    while todo:
        name, chain = todo.pop()
        if name in chains or name not in modules:
            continue
        chains[name] = chain
        for found in sorted(imports(name, modules[name])):
            if found.lazy:
                continue
            if found.name.partition(".")[0] in HEAVY:
                result.append(f"{chain} -> {found.name}")
            todo += [(part, f"{chain} -> {part}") for part in _with_parents(found.name)]
    return result


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def test_modules_are_found() -> None:
    found = project()
    assert {"fedvlm_flwr", "fedvlm_flwr.cli.run", "strategies.base"} <= set(found)
    assert {"client_app.app", "server_app.app"} <= set(found)
    assert Import("strategies.core.flower", False) in imports("strategies", found["strategies"])


def test_rooms_import_only_along_the_arrows() -> None:
    assert violations(project()) == []


def circles(modules: Modules) -> list[str]:
    """Modules from which the imports, lazy ones and those for types alone too, lead back."""
    arrows = {
        name: {found.name for found in imports(name, module)} & set(modules) - {name}
        for name, module in modules.items()
    }
    result = []
    for start in sorted(arrows):
        reached: set[str] = set()
        todo = list(arrows[start])
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                todo += arrows[name]
        if start in reached:
            result.append(start)
    return result


def test_no_imports_lead_back() -> None:
    ours = {name: module for name, module in project().items() if not within(name, CLI)}
    assert circles(ours) == []
    assert circles({"a": Module("import b"), "b": Module("def f():\n    import a")}) == ["a", "b"]


@pytest.mark.parametrize("door", ["client_app.app", "server_app.app", "fedvlm_flwr.cli.run"])
def test_the_doors_import_nothing_heavy(door: str) -> None:
    assert heavy_at_start(project(), door) == []


def test_the_check_would_see_a_violation() -> None:
    lines = {
        "fedvlm_flwr.arrays": "from strategies import load_hook",
        "fedvlm_flwr.config": "def f():\n    import server_app.run",
        "fedvlm_flwr.cli.run": "from client_app import app",
        "strategies.fedavg": "class A:\n    from client_app.worker import worker",
        "client_app.local": "import importlib\nimportlib.import_module('server_app.run')",
        "server_app.run": "try:\n    import client_app\nexcept ImportError:\n    pass",
        "fedvlm_flwr.engines.ray": "from ..models import resident",
        "strategies.base": "from fedvlm_flwr import cli",
    }
    for name, source in lines.items():
        found = violations({name: Module(source)})
        assert found, f"{name}: {source!r} went through"
        assert all(line.startswith(f"{name} imports ") for line in found)


def test_the_check_lets_the_allowed_through() -> None:
    lines = {
        "fedvlm_flwr.cli.worker": "def main():\n    from client_app.worker import worker",
        "fedvlm_flwr.cli.run": "from fedvlm_flwr.cli import prepare",
        "fedvlm_flwr.report": "import server_application",
        "server_app.run": "from strategies import load_strategy",
        "strategies.base": "from . import core\nfrom .core import mean",
        "fedvlm_flwr.engines.ray": "from ..config import Scalar",
    }
    assert violations({name: Module(source) for name, source in lines.items()}) == []


def test_the_weight_check_follows_module_level_imports_only() -> None:
    modules = {
        "client_app": Module("", is_package=True),
        "client_app.app": Module("from fedvlm_flwr.a import f\ndef g():\n    import torch"),
        "fedvlm_flwr": Module("", is_package=True),
        "fedvlm_flwr.a": Module("def f():\n    import fedvlm_flwr.b"),
        "fedvlm_flwr.b": Module("from torch import nn"),
    }
    assert heavy_at_start(modules, "client_app.app") == []
    modules["fedvlm_flwr.a"] = Module("from fedvlm_flwr import b\nf = b")
    found = heavy_at_start(modules, "client_app.app")
    assert found
    assert all("client_app.app -> fedvlm_flwr.a -> fedvlm_flwr.b -> torch" in c for c in found)


def test_the_weight_check_counts_the_packages_on_the_way() -> None:
    modules = {
        "client_app.app": Module("import fedvlm_flwr.a"),
        "fedvlm_flwr": Module("import peft", is_package=True),
        "fedvlm_flwr.a": Module(""),
    }
    assert heavy_at_start(modules, "client_app.app") == ["client_app.app -> fedvlm_flwr -> peft"]
