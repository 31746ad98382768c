"""What every place is looked at for, and the printing of what is found."""

import importlib.metadata
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from fedvlm_flwr.cli.site import read_words
from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.findings import Finding, network, packages, temporary
from fedvlm_flwr.process import this_process

NEEDED = ("flwr", "ray", "torch", "transformers", "peft", "datasets", "hydra-core", "omegaconf")
OPTIONAL = {
    "bitsandbytes": "a 4-bit or 8-bit base model",
    "tensorboard": "TensorBoard curves",
    "mlflow-skinny": "MLflow",
    "wandb": "Weights & Biases",
}
FREE_MEMORY = 3e9  # bytes: a server and two small clients
ELSEWHERE = (temporary, packages, network)  # of a machine's environment, what concerns every place

Check = Callable[[], Iterator[Finding]]


def report(checks: Iterable[Check]) -> int:
    """Print the findings as they come; 1 if one is a failure."""
    failed = False
    for check in checks:
        for finding in check():
            print(f"{finding.level:<5} {finding.text}", flush=True)
            failed |= finding.level == "FAIL"
    return 1 if failed else 0


def read(arguments: list[str], names: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """The words of a place by name, and the others, which are keys of a run's configuration.

    Raises:
        ConfigError: a word is set twice, or has no value.
    """
    own = [word for word in arguments if word.partition("=")[0] in names]
    return read_words(own, *names), [word for word in arguments if word not in own]


def composed(keys: list[str]) -> Config:
    """The configuration of a run with these keys.

    Raises:
        ConfigError: a key is wrong.
    """
    return this_process().compose({"overrides": shlex.join(keys)})


def path_of(words: dict[str, str], name: str) -> Path | None:
    """The path that a word has; None where it is not given."""
    return Path(words[name]).expanduser() if name in words else None


def port_of(words: dict[str, str], usual: str) -> int:
    """The port that the words name.

    Raises:
        ConfigError: it is none.
    """
    text = words.get("port", usual)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(f"port={text} is no port; give a number from 1 to 65535.")
    return int(text)


def versions() -> Iterator[Finding]:
    """Python and the packages."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(
        "ok" if sys.version_info >= (3, 11) else "FAIL", f"Python {python} (3.11 or newer)"
    )
    for name in NEEDED:
        try:
            yield Finding("ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("FAIL", f"{name} is not installed; run `pip install fedvlm-flwr`")
    for name, purpose in OPTIONAL.items():
        try:
            yield Finding("ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("ok", f"{name} is not installed (needed only for {purpose})")


def devices() -> Iterator[Finding]:
    """Cores, memory and GPUs."""
    import torch

    free = psutil.virtual_memory().available
    yield Finding("ok", f"{os.cpu_count()} CPU cores")
    yield Finding(
        "ok" if free > FREE_MEMORY else "warn",
        f"{free / 1e9:.1f} GB of memory free (the default run takes about {FREE_MEMORY / 1e9:.0f})",
    )
    if not torch.cuda.is_available():
        yield Finding("ok", "no CUDA device: runs use the CPU")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield Finding("ok", f"GPU {index}: {facts.name}, {facts.total_memory / 1e9:.0f} GB")
