"""Answers to scores, by the task's own rules."""

from collections.abc import Sequence

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.tasks import load_task
from fedvlm_flwr.tasks.base import Reference


def score(task: str, predictions: Sequence[str], examples: Sequence[Example]) -> dict[str, float]:
    """The task's metrics over the examples, one prediction for each.

    Raises:
        DataError: there are no examples, or not one prediction for each.
    """
    values: dict[str, float] = load_task(task).score(predictions, references_of(examples))
    return values


def score_each(
    task: str, predictions: Sequence[str], examples: Sequence[Example]
) -> dict[str, list[float]]:
    """The task's metrics that are means over examples, one number an example.

    Raises:
        DataError: as `score`.
    """
    values: dict[str, list[float]] = load_task(task).each(predictions, references_of(examples))
    return values


def references_of(examples: Sequence[Example]) -> list[str]:
    """The right answer of each example, with what else is known of it."""
    return [Reference(example.answer, example.others, example.closed) for example in examples]
