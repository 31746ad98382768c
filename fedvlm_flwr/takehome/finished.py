"""A finished run as its folder tells it."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedvlm_flwr.config import Config
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.run_folder import METRICS, RESULT, RunFolder
from fedvlm_flwr.saved_config import config_of


@dataclass(frozen=True)
class FinishedRun:
    """A run that has nothing left to do.

    Attributes:
        folder: where it lies.
        config: what it was started with.
        base: fingerprint of the base that it was trained on, see `Resident.base_fingerprint`;
            None: the run is of a version that did not write it down.
        max_new_tokens: after which its evaluation ended an answer; None: it does not say.
        private: the trained tensors that stay with the clients, by stable name.
    """

    folder: RunFolder
    config: Config
    base: str | None
    max_new_tokens: int | None
    private: frozenset[str]

    @classmethod
    def open(cls, path: str | Path) -> "FinishedRun":
        """The run of a folder.

        Raises:
            RunError: the folder holds no run, one that is not finished, or a damaged one.
        """
        folder = RunFolder(Path(path).expanduser().resolve())
        if not (folder.path / folder.config).exists():
            raise RunError(f"{path} holds no run; name the folder of a finished one.")
        folder.require_free()
        if not folder.is_finished():
            raise RunError(f"The run in {path} is not finished; go on with it: {folder.resumption}")
        facts = _facts(folder)
        return cls(
            folder,
            config_of(folder),
            facts.get("base"),
            facts.get("max_new_tokens"),
            frozenset(facts.get("private", ())),
        )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.path.name

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks that it was scored on, sorted."""
        return sorted({line["task"] for line in self.folder.lines(METRICS)} - {"train"})


def _facts(folder: RunFolder) -> dict[str, Any]:
    path = folder.path / RESULT
    if not path.exists():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); restore the file.") from error
    if not isinstance(facts, dict):
        raise RunError(f"{path} is damaged: it holds no facts; restore the file.")
    return facts
