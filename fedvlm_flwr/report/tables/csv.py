"""Comma-separated values: whole numbers; deviations and intervals in columns of their own."""

import csv
from io import StringIO

from fedvlm_flwr.report.tables.base import Cell, Table

ENDING = ".csv"


def write(table: Table) -> str:
    """One header line, then one line a row; what has no number is empty."""
    widths = [
        max([1, *(len(line.cells[i].numbers) for line in table.lines)])
        for i in range(len(table.columns))
    ]
    spans = [any(line.cells[i].ends for line in table.lines) for i in range(len(table.columns))]
    page = StringIO()
    writer = csv.writer(page, lineterminator="\n")
    heads: list[str] = []
    for text, width, span in zip(table.full_headings(), widths, spans, strict=True):
        heads += [text] if width == 1 else [f"{text} mean", f"{text} sd"]
        heads += [f"{text} low", f"{text} high"] if span else []
    writer.writerow(heads)
    for line in table.lines:
        values = [_values(*each) for each in zip(line.cells, widths, spans, strict=True)]
        writer.writerow([value for own in values for value in own])
    return page.getvalue()


def _values(cell: Cell, width: int, span: bool) -> list[str]:
    texts = [repr(number) for number in cell.numbers] or [cell.text if width == 1 else ""]
    ends = [repr(end) for end in cell.ends] if cell.ends else ["", ""]
    return [*texts, *[""] * (width - len(texts)), *(ends if span else [])]
