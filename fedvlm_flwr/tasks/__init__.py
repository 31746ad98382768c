"""Tasks: one module each, from a model's answers to their scores."""

from functools import cache

from fedvlm_flwr.contracts import Task
from fedvlm_flwr.plugins import available, load_as


def task_names() -> list[str]:
    """Names of the tasks, sorted."""
    return available("fedvlm_flwr.tasks")


@cache  # asked for with every example
def load_task(name: str) -> Task:
    """The module of a task.

    Raises:
        ConfigError: there is none, or it does not keep the contract.
    """
    return load_as(Task, "fedvlm_flwr.tasks", name, "task")
