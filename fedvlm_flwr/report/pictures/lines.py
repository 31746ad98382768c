"""Scores over rounds, bytes or seconds: a line a series, with a band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedvlm_flwr.report.pictures.style import (
    INK,
    MUTED,
    PANEL,
    dress,
    legend,
    look,
    new_figure,
    place,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Series:
    """A line: its points in order, each the mean over seeds.

    Attributes:
        place: which of all series it is, whatever others a picture has.
        deviation: standard deviation over seeds at each point; none of a single seed.
        hollow: points that are scores on a sample.
    """

    name: str
    place: int
    across: Sequence[float]
    up: Sequence[float]
    deviation: Sequence[float] = field(default_factory=tuple)
    hollow: Sequence[bool] = field(default_factory=tuple)


def draw_lines(
    series: Sequence[Series],
    title: str,
    across: str,
    levels: Mapping[str, float] | None = None,
    has_legend: bool = False,
) -> Figure:
    """One panel.

    Args:
        across: what the lines run over.
        levels: scores to compare with, by name, as thin lines across.
    """
    from matplotlib.ticker import MaxNLocator

    width, height = PANEL
    more = 0.17 * ((len(series) + len(levels or {}) + 1) // 2) if has_legend else 0.0
    figure, panel = new_figure((width, height + more))
    for i, (name, value) in enumerate((levels or {}).items()):
        panel.axhline(value, color=MUTED, linewidth=0.9, linestyle=(":", "--", "-.")[i % 3])
        panel.plot(
            [], [], color=MUTED, linewidth=0.9, linestyle=(":", "--", "-.")[i % 3], label=name
        )
    for one in series:
        color, line, marker = look(one.place)
        panel.plot(one.across, one.up, color=color, linestyle=line, linewidth=1.7)
        points = list(zip(one.across, one.up, one.hollow or [False] * len(one.up), strict=True))
        for fill, is_hollow in (("full", False), ("none", True)):
            places = [(x, y) for x, y, hollow in points if hollow is is_hollow]
            panel.plot(
                [x for x, _ in places],
                [y for _, y in places],
                marker,
                color=color,
                markersize=4,
                fillstyle=fill,
            )
        panel.plot(
            [],
            [],
            color=color,
            linestyle=line,
            marker=marker,
            markersize=4,
            label=shortened(one.name),
        )
        if one.deviation:
            low = [y - d for y, d in zip(one.up, one.deviation, strict=True)]
            high = [y + d for y, d in zip(one.up, one.deviation, strict=True)]
            panel.fill_between(one.across, low, high, color=color, alpha=0.16, linewidth=0)
    dress(panel, across, "", title)
    values = [y for one in series for y in one.up] + list((levels or {}).values())
    top = max(values, default=1.0)
    panel.set_ylim(bottom=min(0.0, *values) if values else 0.0, top=(1.08 * top) or 1.0)
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=across == "round"))
    place(panel, width, height + more, more)
    if has_legend:
        legend(panel, inside=True)
    panel.title.set_color(INK)
    return figure
