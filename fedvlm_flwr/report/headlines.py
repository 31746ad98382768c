"""Which of a task's metrics tables show."""

from collections.abc import Mapping
from typing import Any

from fedvlm_flwr.run_folder import RunFolder
from fedvlm_flwr.tasks import load_task


def headline(task: str, settings: Mapping[str, Any]) -> str:
    """The metric that the configuration names, or else the task's own.

    Args:
        settings: leaves of a run's configuration by dotted key.
    """
    name = settings.get(f"eval.headlines.{task}")
    return load_task(task).HEADLINE if name is None else str(name)


def settings_of(folder: RunFolder) -> dict[str, Any]:
    """The leaves of the run's configuration; none where it is not written yet.

    Raises:
        RunError: the file is damaged.
    """
    return folder.settings() if (folder.path / folder.config).exists() else {}
