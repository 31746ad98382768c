"""Print the runs of a sweep as one table: mean and standard deviation over seeds.

usage: fedvlm report FOLDER [--format text|csv|markdown] [--metric TASK.METRIC ...] [--out FILE]

FOLDER is a sweep's folder (or one run's); runs are found in it at any depth. Rows are the
combinations of values in which the runs differ, the seed aside; scores are those after the last
round. Rows with unequal total optimizer steps are marked, and the report says so first.
"""

import argparse
import sys
from pathlib import Path

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.paths import write_atomic
from fedvlm_flwr.report.compare import as_csv, as_markdown, as_text, compare
from fedvlm_flwr.report.sweep import read_sweep

FORMATS = {"text": as_text, "csv": as_csv, "markdown": as_markdown}


def main(arguments: list[str]) -> int:
    """Read the folder, print or write the table."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser("fedvlm report", add_help=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=sorted(FORMATS), default="text")
    parser.add_argument("--metric", nargs="+", action="extend", default=[])
    parser.add_argument("--out", type=Path)
    try:
        options = parser.parse_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    comparison = compare(read_sweep(options.folder.expanduser()), options.metric)
    text = FORMATS[options.format](comparison)
    if options.format == "csv":  # a table for machines: what people must know goes elsewhere
        for note in (*comparison.warnings, *comparison.notes):
            print(note, file=sys.stderr)
    if options.out is None:
        print(text)
    else:
        if options.out.is_dir():
            raise RunError(f"--out {options.out} is a folder; name a file.")
        write_atomic(options.out, text + "\n")
        print(options.out)
    return 0
