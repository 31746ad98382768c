"""Who holds what, as a picture: clients x values, and the sizes of the clients."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from fedvlm_flwr.data.heterogeneity import LabelDistribution
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.paths import atomic_path
from fedvlm_flwr.report.pictures.style import COLORS, RULE

OTHERS = "others"
COLUMNS = 120  # more values than these are one column
ANNOTATED = 200  # cells; with more, numbers in them cannot be read
NUMBERED = 150  # clients; of more, some only have their number beside them
LABEL = 26  # characters of a value
DARK = "#101214"  # numbers on light cells, whatever is around them


def draw_heatmap(labels: LabelDistribution, tests: Sequence[int], title: str, path: Path) -> None:
    """Draw the counts, darker for more, and beside them each client's records and test share.

    Args:
        labels: what is drawn.
        tests: each client's number of test records.
        title: the figure's.
        path: the PNG; an older one is replaced.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = heatmap_figure(labels, tests, title)
    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=130)
    except OSError as error:
        raise ConfigError(
            f"The heat map cannot be written to {path} ({error}); choose another --out."
        ) from error


def heatmap_figure(labels: LabelDistribution, tests: Sequence[int], title: str) -> Figure:
    """The picture of `draw_heatmap`."""
    cells = most_frequent(labels, COLUMNS)
    rows, columns = cells.counts.shape
    width = max(3.6, columns * min(0.55, max(0.17, 9 / columns)))  # of the cells, in inches
    height = min(40.0, max(0.9, 0.21 * rows))
    figure = Figure(figsize=(width + 3.9, height + 2.1), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(width, 1.5))
    _cells(figure, left, cells, width / columns)
    _sizes(right, labels, tests)
    return figure


def most_frequent(distribution: LabelDistribution, most: int) -> LabelDistribution:
    """The same with at most so many values: the most frequent ones by name, then all others."""
    if len(distribution.values) <= most:
        return distribution
    totals = distribution.counts.sum(axis=0)
    order = sorted(range(len(totals)), key=lambda i: (-totals[i], i))
    head = sorted(order[: most - 1])
    rest = distribution.counts[:, sorted(order[most - 1 :])].sum(axis=1, keepdims=True)
    values = [*(distribution.values[i] for i in head), f"{len(totals) - len(head)} {OTHERS}"]
    return LabelDistribution(
        distribution.field, values, np.hstack([distribution.counts[:, head], rest])
    )


def clipped(text: str, most: int) -> str:
    """The text on one line, cut to so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def _cells(figure: Figure, panel: Axes, distribution: LabelDistribution, cell: float) -> None:
    rows, columns = distribution.counts.shape
    cells = np.ma.masked_equal(distribution.counts, 0)  # nothing is white, one record is not
    image = panel.imshow(cells, cmap="viridis_r", aspect="auto", vmin=0, interpolation="none")
    size = min(8.0, 60 * cell)  # points; a label is no wider than its column
    labels = [clipped(value, LABEL) for value in distribution.values]
    panel.set_xticks(range(columns), labels, parse_math=False)
    turned = any(len(label) * size > 130 * cell for label in labels)
    panel.tick_params(axis="x", labelsize=size, labelrotation=90 if turned else 0)
    if rows <= NUMBERED:
        panel.set_yticks(range(rows))
    panel.tick_params(axis="y", labelsize=8)
    panel.set_xlabel(distribution.field, fontsize=9)
    panel.set_ylabel("client", fontsize=9)
    panel.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    panel.grid(which="minor", color=RULE, linewidth=0.5)
    panel.tick_params(which="minor", length=0)
    bar = figure.colorbar(image, ax=panel, pad=0.01, fraction=0.05, aspect=30)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("training records", fontsize=8)
    if rows * columns <= ANNOTATED:
        _numbers(panel, distribution, image.get_cmap())


def _numbers(panel: Axes, distribution: LabelDistribution, colors: Colormap) -> None:
    for (row, column), count in np.ndenumerate(distribution.counts):
        if count:
            red, green, blue, _ = colors(count / distribution.counts.max())
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            color = "white" if dark else DARK
            panel.text(column, row, f"{count}", ha="center", va="center", size=6.5, color=color)


def _sizes(panel: Axes, distribution: LabelDistribution, tests: Sequence[int]) -> None:
    places = np.arange(len(tests))
    records = distribution.counts.sum(axis=1)
    panel.barh(places - 0.2, records, height=0.38, color=COLORS[0], label="training")
    panel.barh(places + 0.2, tests, height=0.38, color=COLORS[1], label="test")
    panel.set_xlabel("records", fontsize=9)
    panel.tick_params(labelsize=7)
    panel.tick_params(axis="y", labelleft=False)
    panel.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
