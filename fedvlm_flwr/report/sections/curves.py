"""Learning curves, one panel a score, a line a row, a band over seeds."""

from collections.abc import Iterator
from functools import partial

from fedvlm_flwr.report.experiment import Experiment, file_name
from fedvlm_flwr.report.page.parts import Panels, Section
from fedvlm_flwr.report.pictures.lines import draw_lines
from fedvlm_flwr.report.pictures.style import Picture
from fedvlm_flwr.report.series import lines_of
from fedvlm_flwr.report.sweep import Key
from fedvlm_flwr.report.table import CONTROLS

ORDER = 30
GROWS = True


def section(experiment: Experiment) -> Section | None:
    """Each score over the rounds; of a single run with the controls as levels."""
    parts = [part for column in experiment.columns for part in _panels(experiment, column)]
    return Section("curves", "Learning curves", parts) if parts else None


def _panels(experiment: Experiment, column: Key) -> Iterator[Panels]:
    pictures, used = [], dict[str, None]()
    ground = experiment.column_label(column)
    for task, metric in experiment.pairs(column):
        lines = lines_of(experiment, column, (task, metric), "round")
        if not lines or max(len(line.across) for line in lines) < 2:
            continue
        levels: dict[str, float] = {}
        if experiment.is_single:
            own = experiment.histories[0].controls(task, metric)
            levels = {CONTROLS[name]: value for name, value in own.items()}
        used |= dict.fromkeys(levels)
        title = f"{task}: {metric}"
        draw = partial(draw_lines, lines, title, "round", levels)
        alt = f"{title} over rounds on {ground}: " + "; ".join(
            f"{line.name} from {line.up[0]:.3f} to {line.up[-1]:.3f}" for line in lines
        )
        name = file_name("curve", ground, task, metric)
        pictures.append(Picture(name, f"{title}, {ground}", draw, alt))
    if pictures:
        several = any(len(experiment.cell(row, column)) > 1 for row in experiment.rows)
        band = "Lines are means over seeds, bands one standard deviation. " if several else ""
        where = f"{ground}. " if len(experiment.columns) > 1 else ""
        caption = f"{where}{band}Hollow points are scores on a sample of the test set."
        names = [experiment.row_label(row) for row in experiment.rows]
        yield Panels(pictures, caption, names, list(used))
