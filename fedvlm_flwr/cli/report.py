"""Print the runs of a sweep as one table, and write a page with tables and pictures.

usage: fedvlm report FOLDER [--metric TASK.METRIC ...] [--columns KEY ...] [--out FOLDER]
       fedvlm report FOLDER --format text|csv|markdown [--metric TASK.METRIC ...]

FOLDER is a sweep's folder (or one run's); runs are found in it at any depth. Rows are the
combinations of values in which the runs differ, the seed aside; scores are those after the last
round. Rows with unequal total optimizer steps are marked, and the report says so first.

Beside what is printed, report.html is written to --out (default: report/ in FOLDER), one file that
any browser shows without a network; in tables/ beside it lies each table as CSV, Markdown and
LaTeX, in pictures/ each picture as PNG and SVG. The table of scores has columns for each dataset
and partition, and for each value of what --columns names (`--columns settings weighting`), rows for
the rest. With --format the table alone is printed and nothing is written:
`fedvlm report FOLDER --format csv > table.csv`.

What `fedvlm evaluate` has scored of the runs on other records is a second table (on the page, and
tables/evaluations.*): rows of runs, columns of datasets and metrics, with 95 % intervals. A folder
of evaluations stands for its run.

The page shows what the runs were computed with, as surroundings.jsonl of each has it: seed,
versions of packages, source, commit, device; where the runs differ in it, it says so, as do the
lines that are printed.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.evaluation_folder import run_of
from fedvlm_flwr.report.compare import as_csv, as_markdown, as_text, compare
from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.grid import grid
from fedvlm_flwr.report.reading import read_experiment
from fedvlm_flwr.report.sections import evaluations, surroundings
from fedvlm_flwr.report.sweep import read_sweep

FORMATS = {"text": as_text, "csv": as_csv, "markdown": as_markdown}
FOLDER = "report"  # in that of the run or the sweep


def main(arguments: list[str]) -> int:
    """Read the folder, print the table, write the page."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser("fedvlm report", add_help=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=sorted(FORMATS))
    parser.add_argument("--metric", nargs="+", action="extend", default=[])
    parser.add_argument("--columns", nargs="+", action="extend", default=[])
    parser.add_argument("--out", type=Path)
    try:
        options = parser.parse_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    if options.format and (options.out or options.columns):
        raise ConfigError(
            f"--format {options.format} prints the table alone, and --out and --columns are of the "
            "page; leave out one of the two."
        )
    root = run_of(options.folder.expanduser())
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise RunError(f"--out {options.out} is a file; name a folder.")
    comparison = compare(read_sweep(root), options.metric)
    print(FORMATS[options.format or "text"](comparison))
    if options.format == "csv":  # a table for machines: what people must know goes elsewhere
        for note in (*comparison.warnings, *comparison.notes):
            print(note, file=sys.stderr)
    if not options.format:
        experiment = read_experiment(root, options.metric, options.columns)
        for text in beside(experiment):
            print(text)
        print(f"report: {write(experiment, options.out or root / FOLDER)}")
    return 0


def beside(experiment: Experiment) -> Iterator[str]:
    """What is printed below the table: scores on other records, and that runs were not alike."""
    elsewhere = evaluations.table_of(experiment)
    if elsewhere is not None:
        rows = [[cell.text for cell in line.cells] for line in elsewhere.lines]
        yield "\n".join(
            [
                f"\n{elsewhere.title}",
                *elsewhere.warnings,
                grid(list(elsewhere.full_headings()), rows),
                elsewhere.caption,
            ]
        )
    alike = surroundings.table_of(experiment)
    yield from alike.warnings if alike is not None else ()


def write(experiment: Experiment, folder: Path) -> Path:
    """Write the report of finished runs; the page's path."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # test pictures are shown, and never fetched
    from fedvlm_flwr.report.page.writing import write_report  # brings what draws

    return write_report(experiment, folder)
