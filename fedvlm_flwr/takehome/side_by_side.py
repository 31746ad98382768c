"""Runs scored on several datasets, as one table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvlm_flwr.evaluation_folder import EvaluationFolder
from fedvlm_flwr.report.evaluations import on_other_examples
from fedvlm_flwr.report.grid import grid
from fedvlm_flwr.report.headlines import headline, settings_of
from fedvlm_flwr.report.sweep import RunSummary, grouped, label, mean_and_sd, varying
from fedvlm_flwr.report.table import server_values
from fedvlm_flwr.takehome.finished import FinishedRun


@dataclass(frozen=True)
class Scored:
    """A run as it was scored.

    Attributes:
        overrides: what of the scored records varies, e.g. `dataset=easyvqa`; empty: nothing.
    """

    run: FinishedRun
    overrides: tuple[str, ...]
    folder: EvaluationFolder


def side_by_side(cells: Sequence[Scored]) -> str:
    """A row for each dataset of the runs that differ in their seed alone, a column a metric.

    Of one run it is the score with its 95 % interval, of several mean and standard deviation.

    Raises:
        RunError: two runs have the same configuration and seed.
    """
    runs = {str(cell.run.folder.path): _summary(cell.run) for cell in cells}
    groups = grouped(list(runs.values()), varying(list(runs.values())))
    scores = {(str(c.run.folder.path), c.overrides): _headlines(c.folder) for c in cells}
    columns = list(dict.fromkeys(pair for own in scores.values() for pair in own))
    lines: list[list[str] | None] = []
    for key, members in groups.items():
        name = label(key) if len(groups) > 1 else Path(members[0].name).name
        for overrides in dict.fromkeys(cell.overrides for cell in cells):
            own = [scores[run.name, overrides] for run in members]
            texts = [_cell([each[pair] for each in own if pair in each]) for pair in columns]
            lines.append([name, " ".join(overrides), str(len(members)), *texts])
    headings = ["runs", "scored on", "n", *(" ".join(pair) for pair in columns)]
    notes = ["score with its 95 % interval; of several runs (n) mean ± standard deviation"]
    return "\n".join([grid(headings, lines), *notes, *_on_other_examples(cells)])


def _on_other_examples(cells: Sequence[Scored]) -> Iterator[str]:
    """What has to be said where runs were not scored on the same examples."""
    for overrides in dict.fromkeys(cell.overrides for cell in cells):
        folders = [cell.folder for cell in cells if cell.overrides == overrides]
        if on_other_examples(folders):
            where = f" ({' '.join(overrides)})" if overrides else ""
            yield (
                f"not the same examples for all runs{where}: their own datasets, or their seeds' "
                "draws, differ; name the dataset and its keys to score all on one test set"
            )


def _summary(run: FinishedRun) -> RunSummary:
    """What tells a run from others; its scores are another evaluation's."""
    name, keys = str(run.folder.path), run.folder.settings()
    return RunSummary(name, keys, 0, {}, {}, {}, frozenset(), 0)


Values = tuple[float, float | None, float | None]


def _headlines(folder: EvaluationFolder) -> dict[tuple[str, str], Values]:
    """Each task's headline metric with its interval."""
    settings = settings_of(folder)
    named = {(task, metric): value for (_, task, metric), value in server_values(folder).items()}
    result = {}
    for task in sorted({task for task, _ in named}):
        metric = headline(task, settings)
        ends = (named.get((task, f"{metric}_{end}")) for end in ("low", "high"))
        result[task, metric] = (named[task, metric], *ends)
    return result


def _cell(values: Sequence[Values]) -> str:
    if len(values) == 1:
        score, low, high = values[0]
        interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
        return f"{score:.3f}{interval}"
    if not values:
        return ""
    mean, deviation = mean_and_sd([score for score, _, _ in values])
    return f"{mean:.3f} ± {deviation:.3f}"
