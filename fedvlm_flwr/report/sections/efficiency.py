"""What a score costs: over the bytes that travelled, and over the seconds of rounds."""

from collections.abc import Iterator
from functools import partial

from fedvlm_flwr.report.experiment import Experiment, file_name
from fedvlm_flwr.report.page.parts import Panels, Section
from fedvlm_flwr.report.pictures.lines import draw_lines
from fedvlm_flwr.report.pictures.style import Picture
from fedvlm_flwr.report.series import lines_of
from fedvlm_flwr.report.sweep import Key

ORDER = 60
GROWS = True
UNITS = {"bytes": "megabytes, up and down, all clients", "seconds": "seconds of rounds"}


def section(experiment: Experiment) -> Section | None:
    """Each score over bytes, then over seconds."""
    parts = [
        part
        for column in experiment.columns
        for unit in UNITS
        for part in _panels(experiment, column, unit)
    ]
    return Section("efficiency", "Score against bytes and seconds", parts) if parts else None


def _panels(experiment: Experiment, column: Key, unit: str) -> Iterator[Panels]:
    ground, pictures = experiment.column_label(column), []
    for task, metric in experiment.pairs(column):
        lines = lines_of(experiment, column, (task, metric), unit)
        if not lines or max(line.across[-1] for line in lines) <= 0:
            continue
        title = f"{task}: {metric}"
        draw = partial(draw_lines, lines, title, UNITS[unit], None)
        alt = f"{title} over {UNITS[unit]} on {ground}: " + "; ".join(
            f"{line.name} {line.up[-1]:.3f} after {line.across[-1]:.1f}" for line in lines
        )
        name = file_name(unit, ground, task, metric)
        pictures.append(Picture(name, f"{title} over {unit}, {ground}", draw, alt))
    if pictures:
        where = f"{ground}. " if len(experiment.columns) > 1 else ""
        names = [experiment.row_label(row) for row in experiment.rows]
        seeds = ", in the mean over seeds" if len(experiment.seeds) > 1 else ""
        yield Panels(pictures, f"{where}Over {UNITS[unit]}{seeds}.", names)
