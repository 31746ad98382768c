"""Show what a partition gives each client: a table, a heat map, how unlike the clients are.

usage: fedvlm data [--by FIELD] [--out FILE.png] [--format text|json] [KEY=VALUE ...]

The table and the picture count each client's training records by the values of --by (default: the
partition's own field, or the task). The number that tells how unlike the clients are is the mean
over the clients of the total-variation distance to the pool of all: 0 if all are distributed like
it, 1 - 1/n if each of n equal clients has a value of its own. The picture goes to --out (default:
<dataset>_<partition>.png in this folder). Keys are those of `fedvlm run`:

    fedvlm data dataset=easyvqa partition=dirichlet partition.alpha=0.1 num_clients=8 --by shape
"""

import argparse
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.clients import field_of
from fedvlm_flwr.data.heterogeneity import LabelDistribution, label_distribution
from fedvlm_flwr.data.records import pictures_by_row
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.process import Process, this_process
from fedvlm_flwr.report.grid import grid
from fedvlm_flwr.report.heatmap import clipped, draw_heatmap, most_frequent

COLUMNS, LABEL = 20, 14  # of the table: values at most, characters of one
WIDTH = 138  # characters that the values together may take


@dataclass(frozen=True)
class ShareCounts:
    """What is printed: counts by the field and by the task, and the sizes of each client."""

    labels: LabelDistribution
    tasks: LabelDistribution
    pictures: list[int]
    all_pictures: int
    tests: list[int]


def main(arguments: list[str]) -> int:
    """Count, draw and print."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser("fedvlm data", add_help=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--by")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    try:
        options = parser.parse_intermixed_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    process = this_process()
    config = process.compose({"overrides": shlex.join(options.overrides)})
    path = options.out or Path(f"{config.dataset.name}_{config.partition.name}.png")
    if path.suffix != ".png":
        raise ConfigError(f"--out {path} must name a PNG picture; end it in .png.")
    shares = count_shares(process, config, options.by)
    title = f"{heading(config)}\ndistance to the pool by {_distances(shares)}"
    draw_heatmap(shares.labels, shares.tests, title, path)
    if options.format == "json":
        print(as_json(config, shares, path))
    else:
        print(f"{as_text(config, shares)}\n\nheat map: {path}")
    return 0


def count_shares(process: Process, config: Config, by: str | None) -> ShareCounts:
    """Partition the dataset and count.

    Raises:
        ConfigError: the partition cannot be made, or there is no field `by`; lists the fields.
        DataError: the dataset cannot be used, or a record has no value of the field.
    """
    shares, tests = process.shares(config), process.test_shares(config)
    table = process.data(config).train
    by_row = pictures_by_row(table)
    field = by or field_of(config.partition) or "task"
    return ShareCounts(
        label_distribution(table, shares, field, "--by"),
        label_distribution(table, shares, "task"),
        [len({name for row in rows for name in by_row[row]}) for rows in shares],
        len({name for names in by_row for name in names}),
        [len(rows) for rows in tests],
    )


def heading(config: Config) -> str:
    """What was chosen, in the words of the command line."""
    own = asdict(config.partition.params)
    params = " ".join(f"partition.{key}={value}" for key, value in own.items())
    return " ".join(
        f"dataset={config.dataset.name} partition={config.partition.name} {params} "
        f"num_clients={config.num_clients} seed={config.seed}".split()
    )


def _distances(shares: ShareCounts) -> str:
    by_field = {each.field: each.distance for each in (shares.labels, shares.tasks)}
    return ", by ".join(f"{field}: {distance:.3f}" for field, distance in by_field.items())


def as_text(config: Config, shares: ShareCounts) -> str:
    """The table, one row a client, and the distances."""
    columns = most_frequent(shares.labels, _fitting(shares.labels))
    counts, labels = columns.counts, shares.labels
    names = [escape(_two_lines(value)) for value in columns.values]  # brackets would be markup
    headings = ("client", "records", "pictures", "test", "distance", "effective", *names)
    rows: list[list[str] | None] = [
        [
            str(client),
            *(f"{size:,}" for size in (own.sum(), shares.pictures[client], shares.tests[client])),
            f"{labels.distances[client]:.3f}",
            f"{labels.effective[client]:.1f}",
            *(f"{count:,}" if count else "." for count in own),
        ]
        for client, own in enumerate(counts)
    ]
    totals = [f"{total:,}" for total in counts.sum(axis=0)]
    everything = [f"{size:,}" for size in (counts.sum(), shares.all_pictures, sum(shares.tests))]
    rows += [None, ["all", *everything, f"{labels.distance:.3f}", "", *totals]]
    lines = [
        heading(config),
        "",
        grid(headings, rows),
        "",
        f"distance: total variation between a client's and all records by {labels.field}",
        f"effective: as how many equally frequent values of {labels.field} a client's are",
        f"mean distance by {_distances(shares)}",
    ]
    return "\n".join(lines)


def _two_lines(value: str) -> str:
    """A value, on two lines where it has two words or more."""
    value = " ".join(value.split())
    spaces = [i for i, character in enumerate(value) if character == " "]
    middle = min(spaces, key=lambda i: abs(2 * i - len(value)), default=len(value))
    lines = [value[:middle], value[middle + 1 :]]
    return "\n".join(clipped(line, LABEL) for line in lines).strip()


def _fitting(labels: LabelDistribution) -> int:
    """How many of the most frequent values the table has room for."""
    totals = labels.counts.sum(axis=0)
    widths = [
        3 + max(len(part) for part in (f"{total:,}", *_two_lines(value).split("\n")))
        for value, total in zip(labels.values, totals, strict=True)
    ]
    order = sorted(range(len(totals)), key=lambda i: (-totals[i], i))
    room = [k for k in range(1, len(order) + 1) if sum(widths[i] for i in order[:k]) <= WIDTH]
    return min(COLUMNS, len(room))


def as_json(config: Config, shares: ShareCounts, path: Path) -> str:
    """The same for machines, with all values."""
    clients = [
        {
            "client": client,
            "records": int(counts.sum()),
            "pictures": shares.pictures[client],
            "test": shares.tests[client],
            "distance": shares.labels.distances[client],
            "effective": shares.labels.effective[client],
            "counts": {
                value: int(n) for value, n in zip(shares.labels.values, counts, strict=True) if n
            },
        }
        for client, counts in enumerate(shares.labels.counts)
    ]
    summary = {
        "dataset": config.dataset.name,
        "partition": config.partition.name,
        "params": asdict(config.partition.params),
        "num_clients": config.num_clients,
        "seed": config.seed,
        "field": shares.labels.field,
        "distance": {each.field: each.distance for each in (shares.labels, shares.tasks)},
        "clients": clients,
        "heat_map": str(path),
    }
    return json.dumps(summary, indent=1)
