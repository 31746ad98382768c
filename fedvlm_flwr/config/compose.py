"""From Flower's flat run-config, or Hydra's tree, to the one typed configuration."""

import re
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_type_hints

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from hydra.initialize import get_gh_backup, restore_gh_from_backup
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedvlm_flwr.config.choice import Choice
from fedvlm_flwr.config.keys import facts_at
from fedvlm_flwr.config.outside import require_closed
from fedvlm_flwr.config.schema import Config
from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.paths import conf_dir
from fedvlm_flwr.plugin_folder import conf_dirs, conf_file
from fedvlm_flwr.settings import facts_of, short

Scalar = bool | int | float | str

# Flower's kebab-case keys whose name differs from ours by more than the hyphens.
RENAMED = {"num_server_rounds": "num_rounds"}

MOST = 50_000  # characters of `overrides`: reading them takes a second
SENTENCE = 400  # characters of what somebody has written, in a message

_hydra = threading.Lock()  # Hydra keeps its state in a process-wide singleton


def to_overrides(run_config: Mapping[str, Scalar]) -> list[str]:
    """Hydra overrides for Flower's run-config.

    An empty string means "as conf/ says". The free-form `overrides` come last and so win.

    Raises:
        ConfigError: the `overrides` string has an unbalanced quote, or is too long.
    """
    result = []
    for key, value in sorted(run_config.items()):
        name = key.replace("-", "_")
        if name == "overrides" or value == "":
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        name = RENAMED.get(name, name)
        if facts_at(name, {}).place:  # its name may hold what Hydra's grammar gives a meaning to
            text = quoted(text)
        result.append(f"{name}={text}")
    free = str(run_config.get("overrides", ""))
    if len(free) > MOST:
        raise ConfigError(f"overrides has {len(free)} characters; write {MOST} at most.")
    try:
        return result + shlex.split(free)
    except ValueError as error:
        raise ConfigError(f"overrides={run_config['overrides']!r}: {error}; mend it.") from error


def quoted(text: str) -> str:
    """Text as one value in Hydra's grammar, where a backslash counts before a quote and the end."""
    escaped = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def unquoted(value: str) -> str:
    """The text of a value that Hydra's grammar may quote."""
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "'\"":
        return value
    escaped = re.compile(rf"(\\+)({value[0]}|$)")
    return escaped.sub(lambda m: m[1][: len(m[1]) // 2] + m[2], value[1:-1])


def compose(run_config: Mapping[str, Scalar]) -> Config:
    """The typed configuration of a run-config; the same on the server and on every client.

    Raises:
        ConfigError: an unknown key or choice, a wrong type, a contradiction.
    """
    overrides = to_overrides(run_config)
    require_closed(overrides)
    with _hydra:
        tree = _compose_hydra(overrides)
    return from_hydra(tree)


def searched() -> list[str]:
    """The words that have Hydra look for YAML files in the plugins' conf/ too."""
    places = [quoted(f"file://{folder}") for folder in conf_dirs()[1:]]
    return [f"hydra.searchpath=[{','.join(places)}]"] if places else []


def _compose_hydra(overrides: list[str]) -> DictConfig:
    outer = get_gh_backup()  # `fedvlm run` is itself inside Hydra when the engine is in-process
    GlobalHydra.instance().clear()
    try:
        with (
            our_sentences(overrides),
            initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())),
        ):
            return hydra_compose("config", overrides=[*searched(), *overrides])
    finally:
        restore_gh_from_backup(outer)


@contextmanager
def our_sentences(overrides: Sequence[str]) -> Iterator[None]:
    """Say in a sentence what Hydra cannot compose.

    Raises:
        ConfigError: that sentence.
    """
    try:
        yield
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        names = ", ".join(error.options or []) or "none"
        raise ConfigError(f"Unknown {group} '{name}'; choose one of: {names}.") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_sentence(error)) from error
    # Hydra's own: a group that is null or a list, a number of 5,000 digits, lists in 5,000 lists.
    except (TypeError, ValueError, RecursionError) as error:
        text = ", ".join(map(short, overrides))[:SENTENCE]
        raise ConfigError(f"One of the overrides {text} is wrong: {error}.") from error


def _one_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    noise = ("full_key", "object_type", "To append", "reference_type", "See https")
    text = ". ".join(line.rstrip(".") for line in lines if not line.startswith(noise))
    text = text.replace("Could not override", "Unknown key")
    return f"{text[:SENTENCE]}; change the override or the YAML under conf/."


def from_hydra(tree: DictConfig) -> Config:
    """Check Hydra's tree and turn it into the typed configuration.

    Raises:
        ConfigError: see `compose`.
    """
    try:
        raw: dict[str, Any] = OmegaConf.to_container(tree, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(_one_sentence(error)) from error
    raw.pop("hydra", None)
    for group in _groups():
        if raw.get(group) is None:
            raise ConfigError(f"{group} is not set; choose one of the files in conf/{group}.")
    config = typed(Config, raw, "")
    _require_settings(config)
    return config


def _require_settings(config: Config) -> None:
    """Refuse values of a search or of a paper that are not there."""
    group, name = f"settings/{config.settings}", config.algorithm.name
    if (conf_dir() / group).is_dir() and conf_file(group, name) is None:
        raise ConfigError(
            f"settings={config.settings} has no values for algorithm={name}, see conf/{group}; "
            f"take settings=shipped, or search with `fedvlm tune algorithm={name}`."
        )


def _groups() -> list[str]:
    """The keys that hold further keys: choices and sections."""
    hints = get_type_hints(Config)
    return [e.name for e in fields(Config) if facts_of(e).group or is_dataclass(hints[e.name])]


def to_tree(config: Config) -> dict[str, Any]:
    """The resolved configuration as plain values, with the keys that Hydra's groups have."""
    tree = asdict(config)
    choices = {k: flat(v) for k, v in vars(config).items() if isinstance(v, Choice)}
    return tree | choices


def flat(choice: Choice[Any]) -> dict[str, Any]:
    """A choice as the YAML that it came from, those inside its parameters too."""
    inner = {k: flat(v) for k, v in vars(choice.params).items() if isinstance(v, Choice)}
    return {"name": choice.name, "kind": choice.kind, **asdict(choice.params), **inner}


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML that Hydra's groups would give again."""
    return OmegaConf.to_yaml(OmegaConf.create(to_tree(config)))
