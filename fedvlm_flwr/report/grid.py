"""Tables as plain text."""

from collections.abc import Iterable, Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

WIDE = 200  # characters; wider where a cell would be cut otherwise


def grid(headings: Sequence[str], rows: Iterable[Sequence[str] | None]) -> str:
    """A table with numbers on the right; None draws a rule."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*row)
    page = StringIO()
    least = Console(width=10_000).measure(table).maximum
    Console(file=page, width=max(WIDE, least), color_system=None).print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()).strip("\n")
