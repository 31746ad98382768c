"""What a made or checked dataset holds, as text."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fedvlm_flwr.data.checked import Checked
from fedvlm_flwr.data.layout import TEST
from fedvlm_flwr.report.grid import grid

Counts = Sequence[tuple[str, int, str, int]]  # split, client, task, records
CLIENTS = "clients"


def problem_lines(data: Checked) -> Iterator[str]:
    """A line for each problem."""
    for problem in data.problems:
        yield f"bad: {problem}"
    for problem in data.allowed:
        yield f"allowed: {problem}"


def summary(data: Checked) -> str:
    """The number of records, of bad ones, and of those on shared pictures."""
    records = data.bad + len(data.train) + len(data.test)
    text = f"{data.root}: {records} records, {data.bad} of them bad"
    if data.allowed:
        text += (
            f"; {len({problem.row for problem in data.allowed})} training records on pictures of "
            "the test set (dataset.shared_pictures=allow)"
        )
    return text


def count_table(counts: Counts) -> str:
    """Records of each client by split and task."""
    pairs = {(split, task) for split, _, task, _ in counts}
    columns = sorted(pairs, key=lambda pair: (pair[1], pair[0] == TEST))
    number_of = {(split, client, task): number for split, client, task, number in counts}
    numbers = {
        client: [number_of.get((split, client, task), 0) for split, task in columns]
        for client in sorted({client for _, client, _, _ in counts})
    }
    rows: list[list[str] | None] = [[str(k), *map(str, own)] for k, own in numbers.items()]
    totals = map(sum, zip(*numbers.values(), strict=True))
    rows += [None, ["all", *map(str, totals)]]
    return grid(["client", *(f"{task}\n{split}" for split, task in columns)], rows)


def differences(counts: Counts, published: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Made and published numbers, by task and of `clients`; what is not published is left out."""
    totals: Counter[str] = Counter()
    for _, _, task, number in counts:
        totals[task] += number
    totals[CLIENTS] = len({client for _, client, _, _ in counts})
    return {name: (totals[name], number) for name, number in published.items()}


def comparison(numbers: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """A line for each published number, with the difference."""
    for name, (count, published) in numbers.items():
        what = "clients" if name == CLIENTS else f"{name} records"
        difference = "as published" if count == published else f"{count - published:+,d}"
        yield f"{what}: {count:,d}, published {published:,d} ({difference})"
