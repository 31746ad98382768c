"""Names say what they hold: nouns, and no bare participle (`found`, `told`, `asked`)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("client_app", "fedvlm_flwr", "server_app", "strategies")

PARTICIPLES = {
    "found",
    "told",
    "asked",
    "kept",
    "given",
    "chosen",
    "known",
    "shown",
    "drawn",
    "held",
    "wanted",
    "said",
    "seen",
    "made",
    "taken",
    "tried",
    "owed",
    "dealt",
    "settled",
}


def bindings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of all that a module binds."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield node.lineno, name
            case ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def participles(path: Path) -> list[str]:
    """Each binding of a participle as file, line and name."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for line, name in bindings(ast.parse(path.read_text(encoding="utf-8")))
        if name.strip("_").lower() in PARTICIPLES
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_is_a_bare_participle(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    assert [name for path in files for name in participles(path)] == []


@pytest.mark.parametrize(
    "code",
    [
        "found = 1",
        "x.kept = 1",
        "_told: int = 1",
        "def f(asked): ...",
        "f = lambda given: 1",
        "class Found: ...",
        "for known in (): ...",
        "[1 for seen in ()]",
        "with open('') as held: ...",
        "if (said := 1): ...",
        "import os as drawn",
        "match 1:\n    case shown: ...",
    ],
)
def test_every_way_to_bind_a_name_is_looked_at(code: str) -> None:
    names = {name.strip("_").lower() for _, name in bindings(ast.parse(code))}
    assert names & PARTICIPLES
