"""How pictures look, and their forms: a PNG, an SVG, and an SVG that takes a page's colours.

Series have Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), which readers who see fewer
colours tell apart, and beside them line styles and markers of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1b1d21", "#5c6470", "#d8dce2"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#b0508c", "#b97d00", "#3d9bd6", "#6b5b4d")
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PANEL = (2.72, 2.05)  # inches: at 96 pixels an inch four stand side by side on a desktop
DPI = 250
NARROWEST = "46rem"  # that a wide picture becomes on a page; a narrower page scrolls over it
LABEL = 30  # characters of a series' name in a picture

# What a colour of the drawing is on a page, light or dark.
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule"} | {
    color: f"--series-{i}" for i, color in enumerate(COLORS)
}


def variable(color: str) -> str:
    """The name of a color of the drawing in the page's style."""
    return VARIABLES[color]


class Look(NamedTuple):
    """How the i-th series is drawn."""

    color: str
    line: str
    marker: str


def look(i: int) -> Look:
    """Colour and marker change with every series, the line when the colours are used up."""
    line = LINES[i // len(COLORS) % len(LINES)]
    return Look(COLORS[i % len(COLORS)], line, MARKERS[i % len(MARKERS)])


@dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Attributes:
        name: of its files.
        title: what it is of, one line.
        draw: makes it; with a legend where it stands alone, without on a page that has one.
        alt: what is to be seen, for who does not see it.
        wide: whether it is as wide as a page, and scrolls on a narrow one.
    """

    name: str
    title: str
    draw: Callable[[bool], Figure]
    alt: str
    wide: bool = False


def new_figure(size: tuple[float, float] = PANEL, **kwargs: str) -> tuple[Figure, Axes]:
    """An empty picture with one panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(subplot_kw=dict(kwargs))


def dress(panel: Axes, across: str = "", up: str = "", title: str = "") -> None:
    """Quiet axes: two spines, a grid of the values, small text."""
    if title:
        panel.set_title(title, fontsize=9, loc="left", parse_math=False)
    panel.set_xlabel(across, fontsize=8, color=MUTED)
    panel.set_ylabel(up, fontsize=8, color=MUTED)
    panel.tick_params(labelsize=8, length=0)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.grid(axis="y", linewidth=0.6)
    panel.set_axisbelow(True)


def place(panel: Axes, width: float, height: float, below: float = 0.0) -> None:
    """Fixed margins, for a panel whose labels are known to be short: no layout is computed.

    Args:
        width, height: of the picture, in inches.
        below: inches of it for a legend.
    """
    figure = panel.get_figure(root=True)
    assert figure is not None
    figure.set_layout_engine("none")
    left, right, top, bottom = 0.36, 0.08, 0.27, 0.42 + below
    inside = width - left - right, height - top - bottom
    panel.set_position((left / width, bottom / height, inside[0] / width, inside[1] / height))


def legend(panel: Axes, columns: int = 2, *, inside: bool = False) -> None:
    """The series below the panel, in room that is left for them or beside what is laid out."""
    handles, labels = panel.get_legend_handles_labels()
    panel.figure.legend(
        handles,
        [label.replace("$", r"\$") for label in labels],  # no formulas in names
        loc="lower left" if inside else "outside lower left",
        ncols=columns,
        fontsize=7,
        frameon=False,
        handlelength=2.2,
    )


def _quiet(figure: Figure) -> None:
    """Text and lines of matplotlib's own black in our colours."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_color() in ("black", "k"):
            text.set_color(INK)
    for panel in figure.axes:
        for spine in panel.spines.values():
            spine.set_edgecolor(RULE)
        for line in (*panel.get_xgridlines(), *panel.get_ygridlines()):
            line.set_color(RULE)


def as_png(figure: Figure) -> bytes:
    """On white, for a paper or slides."""
    _quiet(figure)
    page = BytesIO()
    figure.savefig(page, format="png", dpi=DPI, facecolor="white")
    return page.getvalue()


def as_svg(figure: Figure, name: str, *, on_white: bool = True) -> str:
    """A drawing whose text stays text; the same for the same figure.

    Args:
        name: makes its ids its own.
        on_white: whether it has a background.
    """
    from matplotlib import rc_context

    _quiet(figure)
    page = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            page,
            format="svg",
            facecolor="white" if on_white else "none",
            transparent=not on_white,
            metadata={"Date": None, "Creator": None},
        )
    return page.getvalue()


def inline(picture: Picture) -> str:
    """An SVG element without a background whose colours are the page's, as large as it is drawn."""
    text = as_svg(picture.draw(False), picture.name, on_white=False)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for color, name in VARIABLES.items():
        text = text.replace(color, f"var({name})")
    text = re.sub(r"font: ([^;\"]*?)'[^']*'[^;\"]*", r"font: \1sans-serif", text)
    head, rest = text.split(">", 1)
    (width,) = (float(points) for points in re.findall(r' width="([0-9.]+)pt"', head))
    head = re.sub(r' (?:width|height)="[0-9.]+pt"', "", head)
    pixels = f"{width * 4 / 3:.0f}px"
    wide = f"width:min({pixels},max(100%,{NARROWEST}))"
    size = wide if picture.wide else f"width:{pixels};max-width:100%"
    return f'{head} style="{size}" role="img" aria-label="{_attribute(picture.alt)}">{rest}'


def _attribute(text: str) -> str:
    from html import escape

    return escape(text, quote=True)


def shortened(text: str, most: int = LABEL) -> str:
    """Text cut to so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
