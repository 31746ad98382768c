"""The folders of a site or server: records, base model, and room on the disks."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.load import examine_data
from fedvlm_flwr.errors import FedVLMError
from fedvlm_flwr.findings import LEAST_DISK, Finding, Level
from fedvlm_flwr.models import prepared_model
from fedvlm_flwr.report.dataset import problem_lines, summary

FREE_DISK = 2e9  # bytes: a base model's cache and the states of some runs
PROBLEMS = 3  # that are shown


def records(config: Config, place: str) -> Iterator[Finding]:
    """Whether the records can be read; the first of what is wrong with them.

    Args:
        place: where they lie, in words.
    """
    try:
        examination = examine_data(config.dataset)
    except FedVLMError as error:
        yield Finding("FAIL", f"{place}: {error}")
        return
    lines = list(problem_lines(examination))
    if not lines:
        yield Finding("ok", f"{place}: {summary(examination)}")
        return
    for line in lines[:PROBLEMS]:
        yield Finding("warn", f"{place}: {line}")
    yield Finding(
        "FAIL", f"{place}: {summary(examination)}; `fedvlm prepare --check` tells all of it"
    )


def base(config: Config, command: str) -> Iterator[Finding]:
    """Whether the base model is there.

    Args:
        command: what prepares it.
    """
    name = config.model.name
    try:
        folder = prepared_model(config.model)
    except FedVLMError as error:
        yield Finding("FAIL", str(error))
        return
    if folder is None:
        yield Finding("warn", f"the base model {name} is not prepared here; run `{command}`")
    else:
        yield Finding("ok", f"the base model {name}: {folder}")


def device(name: str) -> Iterator[Finding]:
    """Whether there is the device that a site or server is to use.

    Args:
        name: auto, cpu or cuda.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        yield Finding("FAIL", f"device={name} is unknown; choose one of: auto, cpu, cuda")
    elif name == "cuda" and not torch.cuda.is_available():
        yield Finding("FAIL", "device=cuda, but torch can use no GPU here; set device=auto or cpu")


def room(folder: Path, purpose: str) -> Iterator[Finding]:
    """Whether a folder, or where it will be made, can be written and has room."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        yield Finding(
            "FAIL", f"{purpose}: {existing} is no folder to write to; give it to this user"
        )
        return
    free = shutil.disk_usage(existing).free
    level: Level = "ok" if free > FREE_DISK else "warn" if free > LEAST_DISK else "FAIL"
    cure = "" if level == "ok" else "; make room (`fedvlm site clean` removes states of old runs)"
    yield Finding(level, f"{purpose} in {folder}, {free / 1e9:.1f} GB free{cure}")
