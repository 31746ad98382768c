"""What a made or checked dataset holds, as text."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fedvlm_flwr.data.checked import Checked
from fedvlm_flwr.data.layout import TEST
from fedvlm_flwr.report.grid import grid

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


def count_table(counts: Counts) -> str:
    """Records of each client by split and task."""
    pairs = {(split, task) for split, _, task, _ in counts}
    columns = sorted(pairs, key=lambda pair: (pair[1], pair[0] == TEST))
    known = {(split, client, task): number for split, client, task, number in counts}
    numbers = {
        client: [known.get((split, client, task), 0) for split, task in columns]
        for client in sorted({client for _, client, _, _ in counts})
    }
    rows: list[list[str] | None] = [[str(k), *map(str, own)] for k, own in numbers.items()]
    totals = map(sum, zip(*numbers.values(), strict=True))
    rows += [None, ["all", *map(str, totals)]]
    return grid(["client", *(f"{task}\n{split}" for split, task in columns)], rows)


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
