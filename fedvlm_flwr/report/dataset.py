"""What a made or checked dataset holds, as text."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from fedvlm_flwr.data.checked import Checked
from fedvlm_flwr.data.layout import TEST

Counts = Sequence[tuple[str, int, str, int]]  # split, client, task, records
CLIENTS = "clients"


def problem_lines(found: Checked) -> Iterator[str]:
    """A line for each problem."""
    for problem in found.problems:
        yield f"bad: {problem}"
    for problem in found.allowed:
        yield f"allowed: {problem}"


def summary(found: Checked) -> str:
    """The number of records, of bad ones, and of those on shared pictures."""
    records = found.bad + len(found.train) + len(found.test)
    text = f"{found.root}: {records} records, {found.bad} of them bad"
    if found.allowed:
        text += (
            f"; {len({problem.row for problem in found.allowed})} training records on pictures of "
            "the test set (dataset.shared_pictures=allow)"
        )
    return text


def count_table(counts: Counts, width: int = 120) -> str:
    """Records of each client by split and task."""
    pairs = {(split, task) for split, _, task, _ in counts}
    columns = sorted(pairs, key=lambda pair: (pair[1], pair[0] == TEST))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("client", justify="right")
    for split, task in columns:
        table.add_column(f"{task}\n{split}", justify="right", no_wrap=True)
    known = {(split, client, task): number for split, client, task, number in counts}
    for client in sorted({client for _, client, _, _ in counts}):
        numbers = [known.get((split, client, task), 0) for split, task in columns]
        table.add_row(str(client), *map(str, numbers))
    totals = Counter[tuple[str, str]]()
    for split, _, task, number in counts:
        totals[split, task] += number
    table.add_section()
    table.add_row("all", *(str(totals[column]) for column in columns))
    page = StringIO()
    Console(file=page, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()).strip("\n")


def differences(counts: Counts, published: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Made and published numbers, by task and of `clients`; what is not published is left out."""
    made: Counter[str] = Counter()
    for _, _, task, number in counts:
        made[task] += number
    made[CLIENTS] = len({client for _, client, _, _ in counts})
    return {name: (made[name], number) for name, number in published.items()}


def comparison(found: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """A line for each published number, with the difference."""
    for name, (made, published) in found.items():
        what = "clients" if name == CLIENTS else f"{name} records"
        told = "as published" if made == published else f"{made - published:+,d}"
        yield f"{what}: {made:,d}, published {published:,d} ({told})"
