"""What a run must have noted so that it can go on, and when it may."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import yaml
from omegaconf import DictConfig, OmegaConf

from fedvlm_flwr.config import Config, Scalar, from_hydra, to_yaml
from fedvlm_flwr.config.keys import facts_at, kinds_of
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.paths import client_states
from fedvlm_flwr.run_folder import (
    CLIENTS,
    CONFIG,
    METRICS,
    PROGRESS,
    RUN_CONFIG,
    RunFolder,
    leaves,
)


def record_start(config: Config, folder: RunFolder, run_config: Mapping[str, Scalar]) -> None:
    """Write down the resolved configuration, and what it was composed from."""
    entries = {key: value for key, value in run_config.items() if value != ""}
    folder.write(RUN_CONFIG, json.dumps(entries, indent=2) + "\n")
    folder.write(CONFIG, to_yaml(config))


def require_same_config(config: Config, folder: RunFolder) -> None:
    """Refuse to go on with another configuration; remove lines that the ended run left half done.

    Raises:
        RunError: names the keys that differ, with both values.
    """
    saved, now = _leaves(_composed_before(folder)), _leaves(config)
    kinds = kinds_of(config)
    changed = [
        f"{key} was {saved.get(key, 'not set')} and is {now.get(key, 'not set')}"
        for key in sorted(saved.keys() | now.keys())
        if saved.get(key, None) != now.get(key, None) and facts_at(key, kinds).resume != "free"
    ]
    if changed:
        raise RunError(
            f"{folder.path} cannot be resumed with a changed configuration: {'; '.join(changed)}. "
            "Leave these keys as they were, or start a new run."
        )
    for name in (METRICS, PROGRESS):
        folder.cut_half_line(name)


def _composed_before(folder: RunFolder) -> Config:
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


@contextmanager
def client_states_in(folder: RunFolder) -> Iterator[str]:
    """Let clients that share this machine's cache folder keep their state in the run folder.

    They find it by a link of the cache folder, whose name is drawn anew each time and yielded: no
    earlier run, copy of this run or late client can have made anything of that name. Links that
    killed runs have left behind are removed.
    """
    target, links = folder.path / CLIENTS, client_states()
    target.mkdir(exist_ok=True)
    links.mkdir(parents=True, exist_ok=True)
    for link in links.iterdir():
        if link.is_symlink() and not RunFolder(link.readlink().parent).is_locked():
            link.unlink(missing_ok=True)
    session = uuid4().hex
    (links / session).symlink_to(target, target_is_directory=True)
    try:
        yield session
    finally:
        (links / session).unlink(missing_ok=True)
