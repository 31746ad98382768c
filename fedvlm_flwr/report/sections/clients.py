"""How equal the clients fare: the mean over them, the worst one, the spread."""

from collections.abc import Iterator, Mapping
from functools import partial
from statistics import fmean, pstdev

from fedvlm_flwr.evaluation.statistics import LESS_IS_BETTER
from fedvlm_flwr.report.experiment import Experiment, Pair, file_name
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Grid, Panels, Section
from fedvlm_flwr.report.pictures.bars import draw_points
from fedvlm_flwr.report.pictures.style import Picture
from fedvlm_flwr.report.sweep import Key
from fedvlm_flwr.report.tables.base import Heading, Line, Table, score_cell, text_cell

ORDER = 40
GROWS = True
COLUMNS = ("mean", "worst", "spread")
CAPTION = (
    "Each client's score is on its own share of the test set, or on what it holds out; where it "
    "has a model of its own, by that one. Mean and worst are over clients, each counting once; "
    "spread is their population standard deviation. Of several seeds: mean ± standard deviation."
)


def section(experiment: Experiment) -> Section | None:
    """For each ground a table and, for each score, a picture of all clients."""
    parts: list[Grid | Panels] = []
    for column in experiment.columns:
        pairs = [p for p in experiment.pairs(column) if _has_clients(experiment, column, p)]
        if pairs:
            parts += [_table(experiment, column, pairs), _panels(experiment, column, pairs)]
    return Section("clients", "Clients", parts) if parts else None


def _has_clients(experiment: Experiment, column: Key, pair: Pair) -> bool:
    return any(len(run.by_client(*pair)) > 1 for run in experiment.columns[column])


def _spread(run: History, pair: Pair) -> Mapping[str, float]:
    values = list(run.by_client(*pair).values())
    if not values:
        return {}
    worst = max if pair[1] in LESS_IS_BETTER else min
    return dict(zip(COLUMNS, (fmean(values), worst(values), pstdev(values)), strict=True))


def _table(experiment: Experiment, column: Key, pairs: list[Pair]) -> Grid:
    lines = []
    for row in experiment.rows:
        runs = experiment.cell(row, column)
        cells = [text_cell(experiment.row_label(row))]
        for pair in pairs:
            own = [spread for run in runs if (spread := _spread(run, pair))]
            cells += [score_cell([spread[name] for spread in own]) for name in COLUMNS]
        lines.append(Line(cells, experiment.is_baseline(row)))
    ground = experiment.column_label(column)
    return Grid(
        Table(
            file_name("clients", ground),
            f"Scores of the clients, {ground}",
            ["", *(name for _ in pairs for name in COLUMNS)],
            lines,
            CAPTION,
            [Heading(""), *(Heading(f"{task} {metric}", len(COLUMNS)) for task, metric in pairs)],
        )
    )


def _panels(experiment: Experiment, column: Key, pairs: list[Pair]) -> Panels:
    pictures = list(_pictures(experiment, column, pairs))
    names = [experiment.row_label(row) for row in experiment.rows]
    is_alone = len(names) == 1
    caption = "A point is a client (of each seed), a bar the mean over them."
    return Panels(pictures, caption, () if is_alone else names)


def _pictures(experiment: Experiment, column: Key, pairs: list[Pair]) -> Iterator[Picture]:
    ground = experiment.column_label(column)
    for pair in pairs:
        rows = {
            experiment.row_label(row): [
                value
                for run in experiment.cell(row, column)
                for value in run.by_client(*pair).values()
            ]
            for row in experiment.rows
        }
        rows = {name: values for name, values in rows.items() if values}
        title = f"{pair[0]}: {pair[1]}"
        alt = f"{title} of each client, {ground}: " + "; ".join(
            f"{name} {min(values):.3f} to {max(values):.3f}" for name, values in rows.items()
        )
        draw = partial(draw_points, rows, title)
        yield Picture(file_name("clients", ground, *pair), f"{title}, {ground}", draw, alt)
