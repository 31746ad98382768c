"""Where a sweep's runs lie: the same command finds them again."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from fedvlm_flwr.config.compose import unquoted
from fedvlm_flwr.config.keys import facts_at
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugin_folder import conf_file
from fedvlm_flwr.run_folder import RUNS

LONGEST = 100  # bytes of a folder's name


def working_runs() -> Path:
    """The parent of the runs that a command starts: `$FEDVLM_RUNS`, or `runs` where it is called.

    Raises:
        ConfigError: the folder in which it is called is gone.
    """
    try:
        return Path(os.environ.get(RUNS) or "runs").expanduser().resolve()
    except FileNotFoundError as error:
        raise ConfigError(
            f"The folder in which this was called is gone; change to another, or set {RUNS}."
        ) from error


def parent_of(words: Sequence[str]) -> Path:
    """The parent of runs that a command line asks for.

    Args:
        words: its overrides.
    """
    places = [word.partition("=")[2] for word in words if word.startswith("output_dir=")]
    plain = unquoted(places[-1]) if places else "null"
    return working_runs() if plain == "null" else Path(plain).expanduser().resolve()


def swept_keys(words: Sequence[str]) -> list[str]:
    """The keys that have several values on a command line.

    Raises:
        ConfigError: a word is no override that Hydra can read.
    """
    return [key for key, several in _keys(words) if several]


def single_keys(words: Sequence[str]) -> list[str]:
    """The keys that have one value on a command line; no name of a run holds them."""
    return [key for key, several in _keys(words) if not several]


def _keys(words: Sequence[str]) -> list[tuple[str, bool]]:
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except Exception as error:  # Hydra has several, and says in each what it cannot read
        raise ConfigError(f"{error}") from error
    return [(o.key_or_group, o.is_sweep_override()) for o in overrides]


def is_sweep(words: Sequence[str]) -> bool:
    """Whether the chosen experiment is a sweep by itself."""
    names = [word.partition("=")[2] for word in words if word.startswith("experiment=")]
    path = conf_file("experiment", names[-1]) if names else None
    if path is None:
        return False
    return OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.params") is not None


def sweep_name(words: Sequence[str]) -> str:
    """A folder's name that the same command has again, whatever the order of its words.

    It says what experiment it is, or what has several values.
    """
    content = sorted(word for word in words if not facts_at(word.partition("=")[0], {}).place)
    experiment = [word.partition("=")[2] for word in content if word.startswith("experiment=")]
    title = "-".join([*(experiment if is_sweep(words) else []), *swept_keys(content)]) or "sweep"
    mark = hashlib.sha256("\n".join(content).encode()).hexdigest()[:8]
    return f"{file_name(title)[:60]}-{mark}"


def file_name(text: str) -> str:
    """Text as a file's name; a long one is cut and ends with a hash."""
    plain = re.sub(r"[^\w.,=+-]+", "_", text)
    if len(plain.encode()) <= LONGEST:
        return plain
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{plain.encode()[: LONGEST - 9].decode(errors='ignore')}-{mark}"


def job_name(number: int, differs: str) -> str:
    """The name of a run's folder in its sweep.

    Args:
        number: of the job.
        differs: the overrides in which it differs from the others.
    """
    return "-".join([f"{number:03d}", *([file_name(differs)] if differs else [])])
