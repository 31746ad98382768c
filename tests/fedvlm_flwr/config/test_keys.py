"""What is known of the keys: each has a docstring, and its field alone tells what it means."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest

from fedvlm_flwr.config import Config, compose, typed
from fedvlm_flwr.config.choice import GROUPS, params_class
from fedvlm_flwr.config.keys import facts_at, keys_of, kinds_of
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import available
from fedvlm_flwr.settings import STRICT, docs_of, setting

ROOT = Path(__file__).parents[3]
PACKAGES = ("fedvlm_flwr", "strategies", "client_app", "server_app")


def documented() -> Iterator[tuple[str, type[Any]]]:
    """Every dataclass of the configuration, by what it is."""
    yield "config", Config
    for group, place in GROUPS.items():
        for kind in available(place.package, place.inner):
            yield f"{group} {kind}", params_class(group, kind)


@pytest.mark.parametrize(("name", "cls"), documented(), ids=str)
def test_every_key_has_a_docstring_and_they_are_sentences(name: str, cls: type[Any]) -> None:
    for key in keys_of(cls):
        assert key.doc, f"{name}: {key.name} has no docstring under its field"
        assert key.doc[-1] in ".;:]" or key.doc.endswith("`."), f"{name}: {key.name}: {key.doc}"
        assert not key.doc.startswith("..."), f"{name}: {key.name} goes on another key's sentence"


def test_what_a_key_may_be_if_null_is_said() -> None:
    for name, cls in documented():
        for key in keys_of(cls):
            nullable = "None" in str(key.type)
            said = "null" in key.doc.lower()
            assert said or not nullable, f"{name}: {key.name} does not say what null means"


def is_number(hint: Any) -> bool:
    """Whether a key of this type holds numbers, be it in a list or a mapping."""
    arguments = get_args(hint)
    return hint in (int, float) or any(map(is_number, arguments))


def test_every_number_has_a_range() -> None:
    for name, cls in documented():
        for key in keys_of(cls):
            ends = (key.facts.above, key.facts.least), (key.facts.below, key.facts.most)
            has_range = all(any(end is not None for end in pair) for pair in ends)
            assert has_range or not is_number(key.type), f"{name}: {key.name} has no range"


def test_the_docstrings_are_those_under_the_fields_inherited_ones_too() -> None:
    @dataclass(frozen=True)
    class Below:
        a: int
        """An
        a."""
        b: int

    @dataclass(frozen=True)
    class Above(Below):
        c: int
        """A c."""

    assert docs_of(Above) == {"a": "An a.", "c": "A c."}


@pytest.mark.parametrize(
    ("key", "resume", "report"),
    [
        ("resume", "free", "overlooked"),
        ("output_dir", "free", "overlooked"),
        ("run_name", "free", "overlooked"),
        ("round_timeout", "free", "overlooked"),
        ("report.live", "free", "overlooked"),
        ("report.trackers", "free", "overlooked"),
        ("eval.bootstrap", "free", "overlooked"),
        ("engine.threads", "free", "overlooked"),
        ("engine.name", "free", "overlooked"),
        ("min_replies", "free", "differs"),
        ("seed", "same", "replicate"),
        ("num_rounds", "same", "differs"),
        ("train.lr", "same", "differs"),
        ("model.name", "same", "differs"),
        ("model.dtype", "same", "differs"),
        ("tuning.stages", "same", "differs"),
        ("no.such.key", "same", "differs"),
    ],
)
def test_resumes_and_reports_by_key(key: str, resume: str, report: str) -> None:
    facts = facts_at(key, kinds_of(compose({})))
    assert (facts.resume, facts.report) == (resume, report)


def test_paths_and_places_by_key() -> None:
    kinds = kinds_of(compose({"overrides": "dataset=folder"}))
    of_model = ("checkpoint", "vision", "llm", "connector_weights", "tiny.public.params.root")
    for key in ("dataset.root", *(f"model.{name}" for name in of_model)):
        assert facts_at(key, kinds).path, key
    for key in ("model.template", "dataset.title", "model.connector", "train.lr"):
        assert not facts_at(key, kinds).path, key
    for kind in ("hf_vlm", "showo"):
        assert facts_at("model.checkpoint", {"model": kind}).path
    places = [key.name for key in keys_of(Config) if key.facts.place]
    assert places == ["output_dir", "run_name", "resume"]


def test_a_key_of_a_module_that_is_gone_is_one_that_counts() -> None:
    assert facts_at("model.checkpoint", {"model": "gone"}) == STRICT


def test_no_module_has_a_list_of_such_keys_of_its_own() -> None:
    marked = {
        key.name for key in keys_of(Config) if key.facts.place or key.facts.report != "differs"
    }
    marked |= {"engine.", "engine"} | {name.replace("_", "-") for name in marked}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Tuple | ast.List | ast.Set):
                    texts = {e.value for e in node.elts if isinstance(e, ast.Constant)}
                    assert len(texts & marked) < 2, f"{path}:{node.lineno} lists {texts & marked}"


@dataclass(frozen=True)
class Ranges:
    a: float = field(default=1, metadata=setting(above=0))
    b: float = field(default=1, metadata=setting(least=0))
    c: float = field(default=0.5, metadata=setting(least=0, below=1))
    d: int | None = field(default=None, metadata=setting(least=2))
    e: float = field(default=0, metadata=setting(most=3))
    f: list[int] = field(default_factory=list, metadata=setting(above=0, most=9))
    g: str = field(default="x", metadata=setting(choices=("x", "y")))
    h: dict[str, str] = field(default_factory=dict, metadata=setting(choices=("x", "y")))
    i: float = field(default=0, metadata=setting(least=0, most=9))
    j: list[str] = field(default_factory=list)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": 0}, "at.a=0.0 must be finite and greater than 0."),
        ({"a": float("inf")}, "at.a=inf must be finite and greater than 0."),
        ({"a": float("nan")}, "at.a=nan must be finite and greater than 0."),
        ({"b": -1}, "at.b=-1.0 must not be negative."),
        ({"c": 1}, "at.c=1.0 must be in [0, 1)."),
        ({"c": -0.1}, "at.c=-0.1 must be in [0, 1)."),
        ({"d": 1}, "at.d=1 must be finite and at least 2."),
        ({"e": 4}, "at.e=4.0 must be at most 3."),
        ({"f": [1, 0]}, "at.f[1]=0 must be in (0, 9]."),
        ({"f": [10**30]}, "at.f[0]=1000000000000000000000000000000 must be in (0, 9]."),
        ({"i": 10**400}, "at.i=inf must be in [0, 9]."),
        ({"f": [10**400]}, "at.f[0]=a number of 1329 bits must be in (0, 9]."),
        ({"g": "z"}, "at.g='z' is unknown; choose one of: x, y."),
        ({"g": "z" * 999}, f"at.g='{'z' * 79}... is unknown; choose one of: x, y."),
        ({"j": ["a", "b", "a"]}, "at.j names 'a' twice; name each once."),
        ({"h": {"k": "z"}}, "at.h.k='z' is unknown; choose one of: x, y."),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        typed(Ranges, values, "at")
    assert str(refusal.value) == said


def test_values_on_the_edge_are_taken() -> None:
    values = {"a": 1e-9, "b": 0, "c": 0, "d": 2, "e": 3, "f": [1], "g": "y", "h": {"k": "x"}}
    assert typed(Ranges, values, "").c == 0
