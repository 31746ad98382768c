"""The table of scores in a paper's shape."""

from collections.abc import Iterator, Sequence

from fedvlm_flwr.evaluation.statistics import LESS_IS_BETTER
from fedvlm_flwr.report.experiment import Experiment, Pair
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.noise import FEWEST, LEVEL, clear_best, limits_of
from fedvlm_flwr.report.page.parts import Grid, Section
from fedvlm_flwr.report.sweep import Key
from fedvlm_flwr.report.table import CONTROLS
from fedvlm_flwr.report.tables.base import (
    MISSING,
    Cell,
    Heading,
    Line,
    Table,
    score_cell,
    text_cell,
)

ORDER = 20
GROWS = True
BEFORE = "before training"


def section(experiment: Experiment) -> Section | None:
    """Rows of what was chosen, columns of dataset, partition and score."""
    places = [(column, pair) for column in experiment.columns for pair in experiment.pairs(column)]
    if not places:
        return None
    bold = {(column, pair): _best(experiment, column, pair) for column, pair in places}
    lines = list(_before(experiment, places))
    for row in experiment.rows:
        cells = [_cell(experiment, row, place, bold[place] == repr(row)) for place in places]
        mark = " !" if any(row in experiment.unequal(c) for c in experiment.columns) else ""
        name = text_cell(experiment.row_label(row) + mark)
        lines.append(Line([name, *cells], experiment.is_baseline(row)))
    if experiment.is_single:
        lines += _beside(experiment.histories[0], [pair for _, pair in places])
    counts = {column: len(experiment.pairs(column)) for column in experiment.columns}
    table = Table(
        "scores",
        "Scores after the last round",
        ["", *(f"{task}\n{metric}" for _, (task, metric) in places)],
        lines,
        " ".join(_caption(experiment, list(bold.values()))),
        [Heading(""), *(Heading(experiment.column_label(c), n) for c, n in counts.items())],
        warnings=list(_budgets(experiment)),
    )
    return Section("scores", "Scores", [Grid(table)])


def _cell(experiment: Experiment, row: Key, place: tuple[Key, Pair], bold: bool) -> Cell:
    column, pair = place
    runs = experiment.cell(row, column)
    values = [run.last[pair] for run in runs if pair in run.last]
    if len(values) < len(runs):
        return Cell(MISSING)
    sampled = any(run.is_sampled(pair[0], run.last_round) for run in runs)
    return score_cell(values, mark="~" if sampled else "", bold=bold)


def _best(experiment: Experiment, column: Key, pair: Pair) -> str | None:
    """The federated row that is best beyond the noise, if any; the baselines are no rivals."""
    if pair[1] in LESS_IS_BETTER:
        return None
    scores = {
        repr(row): {r.seed: r.last[pair] for r in experiment.cell(row, column) if pair in r.last}
        for row in experiment.rows
        if not experiment.is_baseline(row)
    }
    return clear_best(scores)


def _before(experiment: Experiment, places: Sequence[tuple[Key, Pair]]) -> Iterator[Line]:
    """The scores before the first round, where all rows of a column begin alike."""
    if any(key.startswith(("model.", "eval.")) for key in experiment.keys):
        return
    cells = []
    for column, pair in places:
        first = [run.at(0) for run in experiment.columns[column]]
        cells.append(score_cell([own[pair] for own in first if pair in own]))
    if any(cell.numbers for cell in cells):
        yield Line([text_cell(BEFORE), *cells], baseline=True)


def _beside(run: History, pairs: Sequence[Pair]) -> Iterator[Line]:
    """A run's intervals, and what does not look at the picture."""
    ends = [[run.last.get((task, f"{m}_{end}")) for end in ("low", "high")] for task, m in pairs]
    if any(None not in own for own in ends):
        cells = [
            Cell(MISSING) if None in own else Cell(f"{own[0]:.3f} to {own[1]:.3f}") for own in ends
        ]
        yield Line([text_cell("95 % interval"), *cells], baseline=True)
    for name, words in CONTROLS.items():
        values = [run.controls(*pair).get(name) for pair in pairs]
        if any(value is not None for value in values):
            cells = [score_cell([] if value is None else [value]) for value in values]
            yield Line([text_cell(words), *cells], baseline=True)


def _budgets(experiment: Experiment) -> Iterator[str]:
    for column in experiment.columns:
        if steps := experiment.unequal(column):
            where = f" on {experiment.column_label(column)}" if len(experiment.columns) > 1 else ""
            numbers = "; ".join(
                f"{experiment.row_label(row)} {' to '.join(map(str, sorted({own[0], own[-1]})))}"
                for row, own in steps.items()
            )
            yield (
                f"Unequal budgets{where}: rows marked ! are not comparable as they stand. "
                f"Optimizer steps: {numbers}."
            )


def _caption(experiment: Experiment, bold: Sequence[str | None]) -> Iterator[str]:
    counts = {len(experiment.cell(r, c)) for r in experiment.rows for c in experiment.columns} - {0}
    few, most = min(counts), max(counts)
    if most > 1:
        yield f"Mean ± standard deviation over {few if few == most else f'{few} to {most}'} seeds."
    else:
        yield "One seed."
    if len(experiment.rows) > 1:
        yield _on_bold(most, any(name is not None for name in bold))
    yield from _weighting(experiment)
    rounds = [run.best_round for run in experiment.histories if run.best_round is not None]
    if rounds:
        numbers = ", ".join(map(str, rounds))
        yield f"Of the models that were best on validation records (rounds {numbers})."
    if experiment.is_single and any(m.endswith("_low") for _, m in experiment.histories[0].last):
        yield "The interval is over the examples of the test set."
    if any(run.is_sampled(t, run.last_round) for run in experiment.histories for t in run.tasks):
        yield "~: on a sample of the test set."


def _on_bold(seeds: int, any_bold: bool) -> str:
    if seeds < FEWEST:
        return (
            f"Nothing is bold: no test can tell rows apart with {seeds} seed{'s'[: seeds - 1]}; "
            f"it takes {FEWEST} at least."
        )
    rule = (
        f"{'Bold' if any_bold else 'Nothing is bold; bold would be'}: the best federated row, "
        "where a two-sided paired t-test over seeds tells it from each other one "
        f"(p < {LEVEL:g})."
    )
    return f"{rule} {limits_of(seeds)}".rstrip()


def _weighting(experiment: Experiment) -> Iterator[str]:
    """What the clients of each row count by, where no column says it."""
    if "weighting" in experiment.column_keys:
        return
    rows: dict[str, list[str]] = {}
    for row, runs in experiment.rows.items():
        for name in sorted({run.weighting for run in runs}):
            rows.setdefault(name, []).append(experiment.row_label(row))
    words = {"examples": "by their training examples", "uniform": "alike"}
    if len(rows) == 1:
        yield f"Clients count {words.get(*rows, *rows)}."
        return
    texts = [f"{words.get(name, name)} in {', '.join(own)}" for name, own in rows.items()]
    yield f"Clients count {'; '.join(texts)}."
