"""Senseless values: each is refused in one sentence that names its key, or lies in its range."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from fedvlm_flwr.config import Config, compose, typed
from fedvlm_flwr.config.compose import to_tree
from fedvlm_flwr.errors import ConfigError
from tests.choices import CONF
from tests.patience import within

VALUES = (-1, 0, math.nan, math.inf, 10**30, "text", None, [1, "two"])
UNWALKED = (
    "experiment",
    "scaled",
    "search",
    "settings",
    "source",
)  # they set keys of the other groups
CHOICES = sorted(path for path in CONF.glob("*/*.yaml") if path.parent.name not in UNWALKED)
Place = tuple[str | int, ...]


def places(tree: Any, above: Place = ()) -> Iterator[Place]:
    """The place of every key, mapping and list entry."""
    if not isinstance(tree, dict | list):
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*above, key)
        yield from places(value, (*above, key))


def changed(tree: Any, place: Place, value: Any) -> Any:
    """A tree with another value at a place; what is beside it is shared."""
    if not place:
        return value
    copy = tree.copy()
    copy[place[0]] = changed(tree[place[0]], place[1:], value)
    return copy


WALKED: set[tuple[Any, ...]] = set()  # what a kind has in common in several YAMLs is walked once


def require_refused_or_in_range(tree: dict[str, Any], place: Place, value: Any) -> None:
    name = [part for part in place if isinstance(part, str)][-1]
    try:
        with within(5):
            config = typed(Config, changed(tree, place, value), "")
            saved: Any = to_tree(config)
    except ConfigError as refusal:
        said = str(refusal)
        assert name in said or (name in ("kind", "name") and "choose one of" in said), said
        assert "\n" not in said and len(said) < 600, said
        return
    for part in place:
        saved = saved[part]
    is_number = isinstance(value, int | float) and not isinstance(saved, str)
    assert not is_number or value in (-1, 0), f"{place} takes {value}"


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return to_tree(compose({}))


def composed(base: dict[str, Any], group: str, name: str) -> dict[str, Any]:
    """The configuration with one choice; Hydra's tenth of a second only where it is needed."""
    loaded = OmegaConf.load(CONF / group / f"{name}.yaml")
    if "defaults" in loaded:
        return to_tree(compose({"overrides": f"{group}={name}"}))
    return to_tree(typed(Config, base | {group: OmegaConf.to_container(loaded)}, ""))


def test_every_key_with_senseless_values(base: dict[str, Any]) -> None:
    for place in places(base):
        for value in VALUES:
            require_refused_or_in_range(base, place, value)


@pytest.mark.parametrize("path", CHOICES, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_every_key_of_every_choice(base: dict[str, Any], path: Path) -> None:
    group = path.parent.name
    tree = composed(base, group, path.stem)
    kind = tree[group].get("kind", group)
    for place in places(tree[group], (group,)):
        if (kind, place) not in WALKED:
            WALKED.add((kind, place))
            for value in VALUES:
                require_refused_or_in_range(tree, place, value)
