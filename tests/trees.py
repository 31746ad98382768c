"""Hydra's trees, composed once each: a tenth of a second, and tests ask for the same again."""

import importlib
from collections.abc import Callable
from functools import wraps

from omegaconf import DictConfig

Compose = Callable[[list[str]], DictConfig]

COMPOSING = importlib.import_module("fedvlm_flwr.config.compose")  # its name is the function's too


def remember_trees() -> None:
    """From now on the same words come to the tree that is there already."""
    by_hydra: Compose = COMPOSING._compose_hydra
    trees: dict[tuple[str, ...], DictConfig] = {}

    @wraps(by_hydra)
    def remembered(overrides: list[str]) -> DictConfig:
        if COMPOSING.searched():  # files of a plugin folder, which a test may change
            return by_hydra(overrides)
        words = tuple(overrides)
        if words not in trees:
            trees[words] = by_hydra(overrides)
        return trees[words]

    COMPOSING._compose_hydra = remembered  # type: ignore[attr-defined]
