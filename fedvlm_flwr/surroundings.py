"""What a run's numbers come from beside its configuration: packages, source, device."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from fedvlm_flwr.config import Config
from fedvlm_flwr.handshake import source, source_of, versions
from fedvlm_flwr.models.resident import choose_device
from fedvlm_flwr.paths import PACKAGE
from fedvlm_flwr.plugin_folder import plugin_folder


def surroundings(config: Config) -> dict[str, Any]:
    """The seed, the versions of packages that decide numbers, our source and commit, the device."""
    return {
        "seed": config.seed,
        "python": platform.python_version(),
        "packages": dict(versions(config)),
        "source": source(),
        "commit": own_commit(),
        "device": device_name(choose_device(config.engine.device)),
        "threads": config.engine.threads,
    }


def own_commit() -> str | None:
    """The commit of the checkout that this code is of; None: it is of none.

    Flower runs a copy of the app; the checkout comes later on the path, where it is installed from
    one, and is this code's where the sources are equal.
    """
    if (PACKAGE.parent / ".git").exists():
        return commit(PACKAGE.parent)
    for place in map(Path, sys.path):
        is_checkout = (place / ".git").exists() and (place / PACKAGE.name).is_dir()
        if is_checkout and source_of(place, place / "conf", plugin_folder()) == source():
            return commit(place)
    return None


def commit(folder: Path) -> str | None:
    """The commit of a checkout, with `+` where files differ from it; None: it is none.

    Args:
        folder: its top.
    """
    if not (folder / ".git").exists():
        return None
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+" if _git(folder, "status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):  # no git here, or a checkout of somebody else's
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def device_name(device: torch.device) -> str:
    """What the device calls itself: a card's name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
