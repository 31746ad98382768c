"""All tasks of each row on one wheel."""

from functools import partial

from fedvlm_flwr.report.experiment import Experiment, Pair, file_name
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Panels, Section
from fedvlm_flwr.report.pictures.radar import draw_radar
from fedvlm_flwr.report.pictures.style import Picture
from fedvlm_flwr.report.sweep import Key, mean_and_sd

ORDER = 50
GROWS = False
FEWEST = 3  # axes: two make no wheel
CAPTION = (
    "Each task's score in parts of the highest on its axis, so that tasks of different scales "
    "stand on one wheel: rows can be compared on an axis, and not axes with each other."
)


def section(experiment: Experiment) -> Section | None:
    """A wheel for each ground with three tasks or more: the rows, or a run before and after."""
    wheels = {column: _series(experiment, column) for column in experiment.columns}
    pictures = [
        _picture(experiment, column, series)
        for column, series in wheels.items()
        if series and len(experiment.pairs(column)) >= FEWEST
    ]
    if not pictures:
        return None
    names = list(dict.fromkeys(name for series in wheels.values() for name in series))
    return Section("tasks", "Tasks", [Panels(pictures, CAPTION, names)])


def _series(experiment: Experiment, column: Key) -> dict[str, list[float]]:
    pairs = experiment.pairs(column)
    if experiment.is_single:
        (run,) = experiment.histories
        stages = {"before training": run.at(0), "after it": run.last}
    else:
        stages = {
            experiment.row_label(row): _mean(experiment.cell(row, column), pairs)
            for row in experiment.rows
        }
    whole = {n: [own[p] for p in pairs] for n, own in stages.items() if set(pairs) <= own.keys()}
    tops = [max((v[i] for v in whole.values()), default=0) or 1.0 for i in range(len(pairs))]
    return {
        name: [max(0.0, v) / top for v, top in zip(values, tops, strict=True)]
        for name, values in whole.items()
    }


def _mean(runs: list[History], pairs: list[Pair]) -> dict[Pair, float]:
    return {
        pair: mean_and_sd([run.last[pair] for run in runs])[0]
        for pair in pairs
        if runs and all(pair in run.last for run in runs)
    }


def _picture(experiment: Experiment, column: Key, series: dict[str, list[float]]) -> Picture:
    ground = experiment.column_label(column)
    axes = [f"{task}\n{metric}" for task, metric in experiment.pairs(column)]
    alt = f"Tasks on {ground}, in parts of the highest: " + "; ".join(
        f"{name} {', '.join(f'{value:.2f}' for value in values)}" for name, values in series.items()
    )
    draw = partial(draw_radar, series, axes)
    return Picture(file_name("tasks", ground), f"Tasks, {ground}", draw, alt)
