"""The learning curve of a run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedvlm_flwr.report.table import CONTROLS, Values, headlines, server_values
from fedvlm_flwr.run_folder import CURVE, RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {"majority": ":", "shuffled": "--"}


def draw_curve(folder: RunFolder) -> Path:
    """Draw the curve into the run folder; the PNG's path."""
    path = folder.path / CURVE
    packing = {"compress_level": 1}  # a larger file, in two thirds of the time
    curve_figure(folder).savefig(path, dpi=110, pil_kwargs=packing)
    return path


def curve_figure(folder: RunFolder) -> Figure:
    """Each task's score over rounds, with the two controls as lines.

    Hollow points are scores on the sample used between the first and the last round.
    """
    from matplotlib.figure import Figure  # a run starts without it

    values = server_values(folder)
    metrics = headlines(folder, values)
    columns = max(1, len(metrics))
    width, height = 3.2 * columns, 2.9  # inches; finding margins costs more than all the rest
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=0.5 / width,
        right=1 - 0.1 / width,
        bottom=0.5 / height,
        top=1 - 0.3 / height,
        wspace=0.18,
    )
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for panel, (task, metric) in zip(panels, metrics.items(), strict=False):
        _draw(panel, values, task, metric)
    if metrics and panels[-1].get_legend_handles_labels()[0]:  # sites score without controls
        panels[-1].legend(fontsize=7, loc="lower right")
    return figure


def _draw(panel: Axes, values: Values, task: str, metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    rounds = sorted(number for number, name, key in values if (name, key) == (task, metric))
    scores = [values[number, task, metric] for number in rounds]
    panel.plot(rounds, scores, color="tab:blue", linewidth=1.5)
    for fill, is_full in (("full", True), ("none", False)):
        own = [n for n in rounds if bool(values.get((n, task, "full"), 1.0)) == is_full]
        points = [values[n, task, metric] for n in own]
        panel.plot(own, points, "o", color="tab:blue", markersize=4, fillstyle=fill)
    for control, style in STYLES.items():
        key = (rounds[-1], task, f"control_{control}_{metric}")
        if key in values:
            panel.axhline(
                values[key], color="0.4", linestyle=style, linewidth=1, label=CONTROLS[control]
            )
    panel.set_title(f"{task}: {metric}", fontsize=9)
    panel.set_xlabel("round", fontsize=8)
    panel.set_ylim(bottom=0)
    panel.tick_params(labelsize=8)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(alpha=0.25)
