"""All tasks of each series on one wheel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fedvlm_flwr.report.pictures.style import RULE, legend, look, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_radar(
    series: Mapping[str, Sequence[float]], axes: Sequence[str], has_legend: bool = False
) -> Figure:
    """A closed line a series; the outer ring is 1.

    Args:
        series: for each its values in [0, 1], one an axis.
        axes: their names, three at least.
    """
    more = 0.17 * ((len(series) + 1) // 2) if has_legend else 0.0
    figure, panel = new_figure((3.6, 3.1 + more), projection="polar")
    angles = [2 * math.pi * i / len(axes) for i in range(len(axes))]
    for i, (name, values) in enumerate(series.items()):
        color, line, marker = look(i)
        around, up = [*angles, angles[0]], [*values, values[0]]
        panel.plot(
            around,
            up,
            color=color,
            linestyle=line,
            marker=marker,
            markersize=3.5,
            linewidth=1.5,
            label=name,
        )
    panel.set_theta_offset(math.pi / 2)  # type: ignore[attr-defined]
    panel.set_theta_direction(-1)  # type: ignore[attr-defined]
    panel.set_xticks(angles, [""] * len(axes))
    for angle, name in zip(angles, axes, strict=True):  # each grows away from the wheel
        side = round(math.sin(angle), 6)
        place = "center" if not side else "left" if side > 0 else "right"
        panel.text(
            angle,
            1.16,
            name,
            fontsize=7.5,
            ha=place,
            va="center",
            parse_math=False,
        )
    panel.set_yticks([0.25, 0.5, 0.75, 1.0], ["", "0.5", "", "1"], fontsize=7)
    panel.set_ylim(0, 1.05)
    panel.grid(color=RULE, linewidth=0.6)
    panel.spines["polar"].set_color(RULE)
    if has_legend:
        legend(panel)
    return figure
