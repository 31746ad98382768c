"""A Markdown table, with its title above and its caption below."""

from fedvlm_flwr.report.tables.base import Cell, Table

ENDING = ".md"


def write(table: Table) -> str:
    """Headings over several columns are part of each column's own."""
    heads = [_plain(text) for text in table.full_headings()]
    rule = ["---" if i < table.names else "---:" for i in range(len(heads))]
    rows = [heads, rule, *([_cell(cell) for cell in line.cells] for line in table.lines)]
    body = ["| " + " | ".join(row) + " |" for row in rows]
    warnings = [f"**{_plain(text)}**\n" for text in table.warnings]
    return "\n".join([f"{_plain(table.title)}\n", *warnings, *body, "", _plain(table.caption), ""])


def _cell(cell: Cell) -> str:
    text = _plain(cell.text)
    return f"**{text}**" if cell.bold else text


def _plain(text: str) -> str:
    """Text on one line, no sign of which is read as Markdown or HTML."""
    line = " ".join(text.split())
    for sign in "\\`*_[]<>|~#":
        line = line.replace(sign, f"\\{sign}")
    return line
