"""Choices as a composed configuration has them, from plain values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedvlm_flwr import paths
from fedvlm_flwr.config import Choice, make_choice

CONF = Path(__file__).parents[1] / "conf"
# Models that travel with the package, in folders named by model and recipe.
SHIPPED = sorted(path.name.rpartition("-")[0] for path in (paths.PACKAGE / paths.SHIPPED).iterdir())


def model(name: str, kind: str, params: Mapping[str, Any]) -> Choice[Any]:
    """A model of a kind."""
    return make_choice("model", {**params, "name": name, "kind": kind})


def dataset(kind: str, params: Mapping[str, Any]) -> Choice[Any]:
    """A dataset of a kind."""
    return make_choice("dataset", {**params, "name": kind})


def partition(kind: str, params: Mapping[str, Any]) -> Choice[Any]:
    """A partition of a kind."""
    return make_choice("partition", {**params, "name": kind})


def algorithm(name: str, params: Mapping[str, Any]) -> Choice[Any]:
    """An algorithm."""
    return make_choice("algorithm", {**params, "name": name})
