"""What a made or checked dataset holds, as text."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from fedvlm_flwr.data.check import Problem
from fedvlm_flwr.data.checked import Checked
from fedvlm_flwr.data.federated import ANSWER_TYPE
from fedvlm_flwr.data.layout import TEST
from fedvlm_flwr.data.records import FURTHER, KEYS, REFERENCES, UNIT
from fedvlm_flwr.images.boxes import format_box, iou, parse_boxes
from fedvlm_flwr.report.grid import grid
from fedvlm_flwr.tasks import load_task

Counts = Sequence[tuple[str, int, str, int]]  # split, client, task, records
CLIENTS = "clients"
EXAMPLES = 3  # of a kind of problem


def sources(data: Checked) -> Iterator[str]:
    """What was taken from which file for what, and what is to be known of the records."""
    kinds = list(dict.fromkeys(key for source in data.sources for key in source.columns))
    if kinds:
        rows: list[list[str] | None] = [
            [
                source.file,
                source.split,
                f"{source.records:,}",
                *(source.columns.get(kind, "-") for kind in kinds),
            ]
            for source in data.sources
        ]
        yield grid(["file", "split", "records", *kinds], rows)
        yield "columns are set with dataset.columns.<what>=<name>, splits by names or a column"
    else:
        for split in dict.fromkeys(source.split for source in data.sources):
            own = [source.records for source in data.sources if source.split == split]
            yield f"{split}: {sum(own):,} records of {len(own)} files"
    fields = sorted(set(data.train.column_names) - {*KEYS, FURTHER, REFERENCES, UNIT})
    if fields:
        yield f"fields that a partition may go by: {', '.join(fields)}"
    if ANSWER_TYPE in fields and any(data.train[ANSWER_TYPE]):
        yield f"note: which questions are closed is read from {ANSWER_TYPE}"
    yield from (f"note: {note}" for note in data.notes)


def box_ceiling(data: Checked, decimals: int) -> Iterator[str]:
    """How well a perfect answer can score where boxes are written with so many decimals."""
    values = [
        max(iou(one.box, other.box) for other in parse_boxes(format_box(one.box, decimals)))
        for table in (data.train, data.validation, data.test)
        for task, turns in zip(table["task"][:], table["conversations"][:], strict=True)
        if "answer" in load_task(task).BOXES_IN
        for one in parse_boxes(turns[-1]["value"])
    ]
    if values:
        yield (
            f"boxes written with {decimals} decimals (dataset.box_decimals): a perfect answer's "
            f"IoU is {fmean(values):.3f} in the mean, {min(values):.3f} at least"
        )


def problem_lines(data: Checked) -> Iterator[str]:
    """The bad records and those that are allowed, by kind: how many, and the first three."""
    for level, problems in (("bad", data.problems), ("allowed", data.allowed)):
        kinds: dict[str, list[Problem]] = {}
        for problem in problems:
            kinds.setdefault(problem.kind, []).append(problem)
        for kind, own in kinds.items():
            if len(own) > EXAMPLES:
                yield f"{level}: {len(own):,} records: {kind}; the first {EXAMPLES}:"
            yield from (f"{level}: {problem}" for problem in own[:EXAMPLES])


def summary(data: Checked) -> str:
    """The number of records, of bad ones, and of those on shared pictures."""
    text = f"{data.folder}: {data.records:,} records, {data.bad:,} of them bad"
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
