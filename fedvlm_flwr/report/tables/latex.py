r"""A LaTeX table with booktabs' rules: `\usepackage{booktabs}` is all that it asks for."""

from collections.abc import Iterable, Iterator

from fedvlm_flwr.report.tables.base import Cell, Table

ENDING = ".tex"
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "\N{EN DASH}": "--",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{GREEK SMALL LETTER ALPHA}": r"$\alpha$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def write(table: Table) -> str:
    """A `table` with its caption and a label `tab:<name>`."""
    columns = "l" * table.names + "r" * (len(table.columns) - table.names)
    caption = " ".join([f"{table.title}.", *table.warnings, table.caption]).strip()
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_plain(caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_groups(table),
        _row(map(_plain, table.columns)),
        r"\midrule",
        *_body(table),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _groups(table: Table) -> Iterator[str]:
    if not table.groups:
        return
    yield _row(
        rf"\multicolumn{{{group.span}}}{{c}}{{{_plain(group.text)}}}" if group.text else ""
        for group in table.groups
    )
    rules, start = [], 1
    for group in table.groups:
        if group.text:
            rules.append(rf"\cmidrule(lr){{{start}-{start + group.span - 1}}}")
        start += group.span
    yield "".join(rules)


def _body(table: Table) -> Iterator[str]:
    apart = False
    for i, line in enumerate(table.lines):
        if line.baseline and not apart and i:
            yield r"\midrule"
        apart = line.baseline
        yield _row(map(_cell, line.cells))


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    text = _plain(cell.text)
    return rf"\textbf{{{text}}}" if cell.bold else text


def _plain(text: str) -> str:
    """Text on one line, no sign of which is a command."""
    return "".join(SPECIAL.get(sign, sign) for sign in " ".join(text.split()))
