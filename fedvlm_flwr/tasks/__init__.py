"""Tasks: one module each, from a model's answers to their scores."""

from types import ModuleType

from fedvlm_flwr.plugins import available, load_module


def task_names() -> list[str]:
    """Names of the tasks, sorted."""
    return available("fedvlm_flwr.tasks")


def load_task(name: str) -> ModuleType:
    """Import the module of a task.

    It holds

    - `HEADLINE: str`: the key of `score` that tables show;
    - `BOXES_IN: frozenset[str]`: which texts of an example hold boxes, of "question" and "answer";
    - `score(predictions, references) -> dict[str, float]`: all metrics over the examples;
    - `each(predictions, references) -> dict[str, list[float]]`: one value an example for the
      metrics of `score` that are means over the examples, `HEADLINE` among them;
    - `majority(references) -> str`: the constant answer of a model that sees nothing.

    `score` and `each` read the first 10,000 characters of a text, take any answer in bounded time,
    and raise DataError on empty or unequally long input.

    Raises:
        ConfigError: there is no such task; lists the ones there are.
    """
    return load_module("fedvlm_flwr.tasks", name, "task")
