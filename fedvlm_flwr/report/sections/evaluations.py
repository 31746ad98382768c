"""The table of what the runs came to on other records, as `fedvlm evaluate` has written it."""

from collections.abc import Iterator, Sequence

from fedvlm_flwr.report.evaluations import (
    Evaluated,
    Ground,
    evaluated,
    grounds,
    on_other_examples,
    rows,
)
from fedvlm_flwr.report.experiment import Experiment, Pair
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Grid, Section
from fedvlm_flwr.report.tables.base import (
    MISSING,
    Cell,
    Heading,
    Line,
    Table,
    score_cell,
    text_cell,
)

ORDER = 25
GROWS = False
CAPTION = (
    "Rows are what was trained, columns what it was scored on. Of one run it is the score with its "
    "95 % interval over the examples, of several the mean ± standard deviation over seeds."
)


def section(experiment: Experiment) -> Section | None:
    """Rows of runs, columns of records and scores."""
    table = table_of(experiment)
    return None if table is None else Section("evaluations", "On other records", [Grid(table)])


def table_of(experiment: Experiment) -> Table | None:
    """The table; None: nothing was scored elsewhere.

    Raises:
        RunError: a file of an evaluation is damaged.
    """
    every = evaluated(experiment)
    if not every:
        return None
    columns = grounds(every, experiment.metric_names)
    lines = [
        Line([text_cell(name), *_cells(columns, runs, client)], is_baseline)
        for name, is_baseline, runs, client in rows(experiment, every)
    ]
    return Table(
        "evaluations",
        "Scores on other records",
        ["", *(f"{task}\n{metric}" for ground in columns for task, metric in ground.pairs)],
        lines,
        CAPTION,
        [Heading(""), *(Heading(each.label, len(each.pairs)) for each in columns)],
        warnings=list(_warnings(columns, lines)),
    )


def _cells(columns: Sequence[Ground], runs: list[History], client: int | None) -> Iterator[Cell]:
    for ground in columns:
        own = [one for one in ground.own if one.is_of(runs) and one.client == client]
        for pair in ground.pairs:
            yield _cell(own, pair) if len(own) == len(runs) else Cell(MISSING)


def _cell(own: Sequence[Evaluated], pair: Pair) -> Cell:
    values = [one.last[pair] for one in own if pair in one.last]
    if len(values) < len(own):
        return Cell(MISSING)
    cell = score_cell(values)
    ends = own[0].interval(pair)
    if len(own) > 1 or ends is None:
        return cell
    return Cell(f"{cell.text} [{ends[0]:.3f}, {ends[1]:.3f}]", cell.numbers, ends=ends)


def _warnings(columns: Sequence[Ground], lines: Sequence[Line]) -> Iterator[str]:
    for ground in columns:
        if on_other_examples([one.folder for one in ground.own]):
            yield (
                f"Not the same examples for all runs on {ground.label}: their own datasets, or "
                "their seeds' draws, differ; name the dataset and its keys to score all on one "
                "test set."
            )
    if any(cell.text == MISSING for line in lines for cell in line.cells):
        yield f"{MISSING}: not every run of the row was scored there."
