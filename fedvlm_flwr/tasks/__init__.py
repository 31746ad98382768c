"""Tasks: one module each, with `HEADLINE`, `score` and `majority`."""

from types import ModuleType

from fedvlm_flwr.plugins import available, load_module


def task_names() -> list[str]:
    """Names of the tasks, sorted."""
    return available("fedvlm_flwr.tasks")


def load_task(name: str) -> ModuleType:
    """Import the module of a task.

    It holds `HEADLINE: str` (the key of `score` that tables show),
    `score(predictions, references) -> dict[str, float]` and
    `majority(references) -> str` (the constant answer of a model that sees nothing).

    Raises:
        ConfigError: there is no such task; lists the ones there are.
    """
    return load_module("fedvlm_flwr.tasks", name, "task")
