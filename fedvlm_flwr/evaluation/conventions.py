"""Answers to scores under the names of the literature."""

from collections.abc import Iterator, Mapping, Sequence

from fedvlm_flwr.contracts import Convention
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.evaluation.scores import references_of
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.tasks.conventions import load_convention


def convention_scores(
    task: str, predictions: Sequence[str], examples: Sequence[Example], conventions: Sequence[str]
) -> dict[str, float]:
    """The metrics of each convention that scores the task, as `<convention>_<metric>`.

    Raises:
        DataError: there are no examples, not one prediction for each, or a reference that a
            convention cannot read.
    """
    return {
        f"{name}_{metric}": value
        for name, convention in _of(task, conventions)
        for metric, value in convention.score(task, predictions, references_of(examples)).items()
    }


def convention_scores_each(
    task: str, predictions: Sequence[str], examples: Sequence[Example], conventions: Sequence[str]
) -> dict[str, list[float]]:
    """Those that are means over all examples, one number an example.

    Raises:
        DataError: as `convention_scores`.
    """
    return {
        f"{name}_{metric}": values
        for name, convention in _of(task, conventions)
        for metric, values in convention.each(task, predictions, references_of(examples)).items()
    }


def require_tasks(conventions: Sequence[str], tasks: Sequence[str]) -> None:
    """Refuse a convention that scores none of the tasks.

    Raises:
        ConfigError: names it, and the tasks that it scores.
    """
    for name in conventions:
        own = load_convention(name).TASKS
        if not own & set(tasks):
            raise ConfigError(
                f"eval.conventions names {name}, which scores {', '.join(sorted(own))}, and the "
                f"test set has {', '.join(tasks)}; take it out."
            )


def require_headlines(headlines: Mapping[str, str], scores: Scores) -> None:
    """Refuse a headline that the whole test set's scores do not have.

    Raises:
        ConfigError: names it, and the metrics there are.
    """
    for task, metric in headlines.items():
        if task in scores and metric not in scores[task]:
            raise ConfigError(
                f"eval.headlines.{task}={metric[:80]} is no metric of this test set; choose one "
                f"of: {', '.join(scores[task])}."
            )


def _of(task: str, conventions: Sequence[str]) -> Iterator[tuple[str, Convention]]:
    for name in conventions:
        convention = load_convention(name)
        if task in convention.TASKS:
            yield name, convention
