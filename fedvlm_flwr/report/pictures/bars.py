"""Horizontal bars cut into parts, and points on lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fedvlm_flwr.report.pictures.style import (
    COLORS,
    INK,
    PANEL,
    RULE,
    dress,
    legend,
    look,
    new_figure,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HATCHES = ("", "//", "..", "\\\\", "xx")
WIDTH = 7.2  # inches
SHORT = 12  # ... in a narrow panel


def draw_bars(
    rows: Mapping[str, Sequence[float]], parts: Sequence[str], across: str, has_legend: bool
) -> Figure:
    """A bar a row.

    Args:
        rows: for each the lengths of its parts.
        parts: their names.
    """
    figure, panel = new_figure((WIDTH, 0.62 + 0.27 * len(rows) + (0.2 if has_legend else 0)))
    names = [shortened(name) for name in rows]
    left = [0.0] * len(rows)
    for i, part in enumerate(parts):
        lengths = [values[i] for values in rows.values()]
        panel.barh(
            range(len(rows)),
            lengths,
            left=left,
            height=0.62,
            color=COLORS[i],
            label=part,
            hatch=HATCHES[i % len(HATCHES)],
            edgecolor="white",
            linewidth=0.4,
        )
        left = [a + b for a, b in zip(left, lengths, strict=True)]
    dress(panel, across)
    panel.set_yticks(range(len(rows)), names, parse_math=False)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    panel.grid(axis="x", linewidth=0.6)
    if has_legend:
        legend(panel, len(parts))
    return figure


def draw_points(
    rows: Mapping[str, Sequence[float]], title: str, has_legend: bool = False
) -> Figure:
    """A line a row with a point a value, and a bar at their mean."""
    from matplotlib.ticker import MaxNLocator

    del has_legend  # the rows say what they are
    figure, panel = new_figure((PANEL[0], 0.75 + 0.3 * len(rows)))
    for i, values in enumerate(rows.values()):
        color, _, marker = look(i)
        panel.plot([min(values), max(values)], [i, i], color=RULE, linewidth=3, zorder=1)
        panel.plot(
            values,
            [i] * len(values),
            marker,
            color=color,
            markersize=4.5,
            alpha=0.75,
            clip_on=False,
        )
        mean = sum(values) / len(values)
        panel.plot([mean, mean], [i - 0.3, i + 0.3], color=INK, linewidth=1.4)
    dress(panel, "", "", title)
    panel.set_yticks(range(len(rows)), [shortened(name, SHORT) for name in rows], parse_math=False)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    ends = min(map(min, rows.values())), max(map(max, rows.values()))
    room = max(0.08 * (ends[1] - ends[0]), 0.02 * abs(ends[1]), 1e-3)
    panel.set_xlim(ends[0] - room, ends[1] + room)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.grid(visible=False, axis="y")
    panel.grid(axis="x", linewidth=0.6)
    return figure
