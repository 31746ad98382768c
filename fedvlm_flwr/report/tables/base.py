"""What a table of a report holds, whatever the form that it is written in."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fedvlm_flwr.report.sweep import mean_and_sd

MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class Heading:
    """A column's heading, or one over several."""

    text: str
    span: int = 1


@dataclass(frozen=True)
class Cell:
    """A cell as people read it.

    Attributes:
        numbers: behind it: a value, or mean and deviation.
        ends: of the value's interval; None: it shows none.
    """

    text: str = ""
    numbers: tuple[float, ...] = ()
    bold: bool = False
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A row of a table; a `baseline` stands apart."""

    cells: Sequence[Cell]
    baseline: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files.
        groups: headings over those of the columns; none where there is nothing to tell apart.
        columns: the headings of all columns.
        names: how many columns at the left hold text.
        caption: what its numbers are.
        warnings: what must be read before it.
    """

    name: str
    title: str
    columns: Sequence[str]
    lines: Sequence[Line]
    caption: str = ""
    groups: Sequence[Heading] = ()
    names: int = 1
    warnings: Sequence[str] = field(default_factory=tuple)

    def full_headings(self) -> Iterator[str]:
        """Each column's heading with the one over it."""
        over = [group.text for group in self.groups for _ in range(group.span)]
        for text, group in zip(self.columns, over or [""] * len(self.columns), strict=True):
            yield " ".join((f"{group}: {text}" if group else text).split())


def text_cell(text: object) -> Cell:
    """A cell of plain text."""
    return Cell(str(text))


def score_cell(
    values: Sequence[float], digits: int = 3, mark: str = "", bold: bool = False
) -> Cell:
    """The mean over seeds, with its standard deviation where there are several; a dash of none."""
    if not values:
        return Cell(MISSING)
    mean, deviation = mean_and_sd(values)
    if math.isnan(deviation):
        return Cell(f"{mark}{mean:,.{digits}f}", (mean,), bold)
    return Cell(f"{mark}{mean:,.{digits}f} ± {deviation:,.{digits}f}", (mean, deviation), bold)
