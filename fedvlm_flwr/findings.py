"""What a run, or a bare `flwr run`, would meet on this machine; each finding with its cure."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from huggingface_hub import constants

from fedvlm_flwr.bundle import COMPONENTS, hiding
from fedvlm_flwr.config import Engine
from fedvlm_flwr.engines.actors.environment import (
    LONGEST_OF_RAY,
    OWN_RAY,
    TMP,
    proxied,
    socket_parent,
)
from fedvlm_flwr.engines.actors.resources import require_cluster, require_resources
from fedvlm_flwr.errors import FedVLMError
from fedvlm_flwr.models.weights import hub
from fedvlm_flwr.processes import free_port
from fedvlm_flwr.temporary import temporary_folder

LEAST_DISK = 1e8  # bytes: less is as good as full


Level = Literal["ok", "warn", "FAIL"]


class Finding(NamedTuple):
    """One line of the report."""

    level: Level
    text: str


def ports() -> Iterator[Finding]:
    """Whether a local server can be started, and reached."""
    try:
        free_port()
        yield Finding("ok", "a local port can be opened")
    except OSError as error:
        yield Finding("FAIL", f"no local port can be opened ({error}); use engine=inprocess")
    if os.environ.get("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION") != "1":
        yield Finding(
            "warn",
            "a bare `flwr run` reinstalls every dependency for each run; set "
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1 before it (`fedvlm run` does)",
        )
    proxy = proxied(os.environ)
    if proxy is not None:
        yield Finding(
            "warn",
            f"{proxy} sends a bare `flwr run`'s local traffic to {os.environ[proxy]}; set "
            "no_proxy=127.0.0.1,localhost before it (`fedvlm run` does)",
        )


def temporary() -> Iterator[Finding]:
    """Whether there is a place for temporary files, and one that is short enough for sockets."""
    try:
        with temporary_folder(socket_parent(os.environ)) as folder:
            yield _room(folder.parent, "temporary files")
    except FedVLMError as error:
        yield Finding("FAIL", str(error))
    key = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    length = len(os.fsencode(os.environ.get(key, TMP)))
    if length > LONGEST_OF_RAY:
        yield Finding(
            "warn",
            f"{key} has {length} bytes, and Ray's sockets of a bare `flwr run` go into "
            f"{LONGEST_OF_RAY} at most; set RAY_TMPDIR={TMP} before it (`fedvlm run` does)",
        )


def _room(folder: Path, purpose: str) -> Finding:
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        return Finding(
            "FAIL", f"{folder} has {free / 1e6:.0f} MB left for {purpose}; make room, or set TMPDIR"
        )
    return Finding("ok", f"{purpose} in {folder}, {free / 1e9:.1f} GB free")


def foreign_ray() -> Iterator[Finding]:
    """Ray clusters that a bare `flwr run` would join unasked."""
    address = os.environ.get("RAY_ADDRESS", "")
    note = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or TMP) / "ray"
    note /= "ray_current_cluster"  # where `ray start` leaves its address
    cure = (
        "set RAY_ADDRESS=local before it (`fedvlm run` uses a Ray of its own unless "
        "engine.address names a cluster)"
    )
    if address not in ("", OWN_RAY):
        yield Finding(
            "warn", f"RAY_ADDRESS={address}: a bare `flwr run` joins that cluster; {cure}"
        )
    elif address != OWN_RAY and note.is_file():
        yield Finding("warn", f"Ray runs here ({note}): a bare `flwr run` joins it; {cure}")


def packages() -> Iterator[Finding]:
    """Packages on the path that Python finds in the place of ours."""
    for name in COMPONENTS:
        place = hiding(name)
        if place is not None:
            yield Finding(
                "FAIL", f"the package '{name}' in {place} hides ours; take {place} off PYTHONPATH"
            )


def output() -> Iterator[Finding]:
    """Whether the terminal or file takes every sign."""
    encoding = (sys.stdout.encoding or "").lower()
    if not encoding.startswith("utf"):
        yield Finding(
            "warn",
            f"the output's encoding is {encoding}: signs that it lacks are shown as '-' or '?'; "
            "set PYTHONIOENCODING=utf-8",
        )


def resources(engine: Engine) -> Iterator[Finding]:
    """Whether there is what a client process is to be given, and the cluster where one is named."""
    try:
        if engine.address is None:
            require_resources(engine)
        else:
            require_cluster(engine.address, engine.address_timeout)
            yield Finding("ok", f"the Ray cluster at {engine.address} answers")
    except FedVLMError as error:
        yield Finding("FAIL", str(error))


def network() -> Iterator[Finding]:
    """Whether models can be fetched."""
    if constants.is_offline_mode():
        yield Finding("ok", "HF_HUB_OFFLINE: models are read from this machine only")
    elif hub.answers():
        yield Finding("ok", f"{constants.ENDPOINT} answers")
    else:
        yield Finding(
            "warn",
            f"{constants.ENDPOINT} does not answer: models named by a hub id are read from "
            "this machine's cache only; set HF_HUB_OFFLINE=1 so that it is not asked",
        )


ENVIRONMENT: tuple[Callable[[], Iterator[Finding]], ...] = (
    ports,
    temporary,
    foreign_ray,
    packages,
    output,
    network,
)
