"""A run-config as the file that `flwr run` takes."""

import json
from collections.abc import Mapping
from pathlib import Path

from fedvlm_flwr.config import Scalar


def write_run_config(folder: Path, run_config: Mapping[str, Scalar]) -> Path:
    """The file of a run-config that `flwr run --run-config` takes, in a folder."""
    path = folder / "run-config.toml"
    lines = (f"{key} = {_toml(value)}\n" for key, value in run_config.items())
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _toml(value: Scalar) -> str:
    """A value in TOML: JSON's form, its letters as they are (TOML knows no pairs of escapes)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
