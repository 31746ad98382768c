"""The configuration that a run was started with, written beside it and compared with today's."""

import json
from collections.abc import Mapping
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from fedvlm_flwr.config import Config, Scalar, from_hydra, to_yaml
from fedvlm_flwr.config.keys import facts_at, kinds_of
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.run_folder import CONFIG, METRICS, PROGRESS, RUN_CONFIG, RunFolder, leaves


def record_start(config: Config, folder: RunFolder, run_config: Mapping[str, Scalar]) -> None:
    """Write down the resolved configuration, and what it was composed from."""
    entries = {key: value for key, value in run_config.items() if value != ""}
    folder.write(RUN_CONFIG, json.dumps(entries, indent=2) + "\n")
    folder.write(CONFIG, to_yaml(config))


def require_same_config(config: Config, folder: RunFolder) -> None:
    """Refuse to take a run for one of another configuration.

    Raises:
        RunError: names the keys that differ, with both values.
    """
    saved, now = _leaves(config_of(folder)), _leaves(config)
    kinds = kinds_of(config)
    changes = [
        f"{key} was {saved.get(key, 'not set')} and is {now.get(key, 'not set')}"
        for key in sorted(saved.keys() | now.keys())
        if saved.get(key, None) != now.get(key, None) and facts_at(key, kinds).resume != "free"
    ]
    if changes:
        raise RunError(
            f"{folder.path} cannot be resumed with a changed configuration: {'; '.join(changes)}. "
            "Leave these keys as they were, or start a new run."
        )


def cut_half_lines(folder: RunFolder) -> None:
    """Remove lines that an ended run left half done."""
    for name in (METRICS, PROGRESS):
        folder.cut_half_line(name)


def config_of(folder: RunFolder) -> Config:
    """The configuration that a run was started with, with today's values of keys that it lacks.

    Raises:
        RunError: the file is damaged, or holds a key or a value that this version does not know.
    """
    folder.settings()  # says so where it is no mapping in YAML
    tree = OmegaConf.load(folder.path / CONFIG)
    assert isinstance(tree, DictConfig)
    try:
        return from_hydra(tree)
    except ConfigError as error:
        raise RunError(
            f"{folder.path / CONFIG} is of another version of fedvlm_flwr, start a new run: {error}"
        ) from error


def _leaves(config: Config) -> dict[str, Any]:
    return leaves(yaml.safe_load(to_yaml(config)))
