"""Configurations composed once each: a tenth of a second, and tests ask for them by thousands.

A YAML file under conf/ is parsed once, and what the same words come to is kept.
"""

import copy
import importlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fedvlm_flwr.paths import conf_dir

Compose = Callable[[list[str]], DictConfig]

COMPOSING = importlib.import_module("fedvlm_flwr.config.compose")  # its name is the function's too


def remember_files() -> None:
    """From now on a file of conf/ that has not changed is copied and not parsed."""
    by_parsing = OmegaConf.load
    trees: dict[tuple[str, int], Any] = {}

    def remembered(file: Any) -> Any:
        path = Path(str(getattr(file, "name", file)))
        if not path.is_relative_to(conf_dir()):
            return by_parsing(file)
        state = str(path), path.stat().st_mtime_ns
        if state not in trees:
            trees[state] = by_parsing(file)
        return copy.deepcopy(trees[state])

    OmegaConf.load = remembered  # type: ignore[method-assign]


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
