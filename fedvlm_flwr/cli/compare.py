"""Compare two models example by example: which answers became right, and which wrong.

usage: fedvlm compare A B [--metric TASK.METRIC ...] [--examples N]

A and B are folders of finished runs, or of evaluations (`fedvlm evaluate` prints them), scored on
the same examples. For each task and metric: the two means, their difference with its 95 % interval
(paired bootstrap over the examples), and of what is right or wrong by example how many answers
became right and how many wrong from A to B, with McNemar's exact p. Below are the --examples (5) of
each task whose scores changed most, by the task's headline metric or by --metric.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.evaluation_folder import EvaluationFolder
from fedvlm_flwr.report.changes import (
    RESAMPLES,
    Change,
    Record,
    changed,
    compare_answers,
    read_answers,
)
from fedvlm_flwr.report.grid import grid
from fedvlm_flwr.report.headlines import headline
from fedvlm_flwr.run_folder import RunFolder
from fedvlm_flwr.takehome.finished import FinishedRun

HEADINGS = ("task metric", "examples", "A", "B", "B - A", "95 % interval")
FLIPS = ("wrong -> right", "right -> wrong", "McNemar p")


def main(arguments: list[str]) -> int:
    """Read both folders and print."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    parser = argparse.ArgumentParser("fedvlm compare", add_help=False)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--metric", nargs="+", action="extend", default=[])
    parser.add_argument("--examples", type=int, default=5)
    try:
        options = parser.parse_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    folders = [scored_folder(path) for path in (options.first, options.second)]
    first, second = map(read_answers, folders)
    changes = compare_answers(first, second)
    metrics = metrics_of(changes, folders[0], options.metric)
    print(f"A: {first.path}\nB: {second.path}\n")
    print(grid((*HEADINGS, *FLIPS), map(_row, changes)))
    print(f"interval: paired bootstrap over the examples, {RESAMPLES} resamples")
    rows = changed(first, second, metrics)
    for task, metric in metrics.items():
        print_examples(f"{task}, by {metric}", [r for r in rows if r[0]["task"] == task], options)
    return 0


def scored_folder(path: Path) -> RunFolder:
    """The folder of an evaluation or of a finished run.

    Raises:
        RunError: it holds neither.
    """
    place = path.expanduser()
    if (place / EvaluationFolder.config).is_file():
        return EvaluationFolder(place.resolve())
    if not (place / RunFolder.config).is_file():
        raise RunError(f"{path} holds neither a run nor an evaluation; name the folder of one.")
    return FinishedRun.open(path).folder


def metrics_of(
    changes: Sequence[Change], folder: RunFolder, names: Sequence[str]
) -> dict[str, str]:
    """The metric by which examples are listed, of each task.

    Raises:
        ConfigError: one that was asked for is not there.
    """
    pairs = [f"{change.task}.{change.metric}" for change in changes]
    for name in names:
        if name not in pairs:
            raise ConfigError(f"Unknown metric '{name}'; choose one of: {', '.join(pairs)}.")
    settings = folder.settings()
    usual = {change.task: headline(change.task, settings) for change in changes}
    own = dict(name.split(".", 1) for name in names)
    by_task = {task: own.get(task, metric) for task, metric in usual.items()}
    return {task: metric for task, metric in by_task.items() if f"{task}.{metric}" in pairs}


def print_examples(
    title: str, rows: Sequence[tuple[Record, Record, float]], options: argparse.Namespace
) -> None:
    """The examples of a task whose answers changed most."""
    if not rows or options.examples < 1:
        return
    print(f"\n{title}: {len(rows)} examples changed")
    for ours, theirs, apart in rows[: options.examples]:
        print(f"  {ours['id']} ({apart:+.3f}): {ours['question']}")
        print(f"    right: {ours['reference']}")
        print(f"    A: {ours['prediction']}\n    B: {theirs['prediction']}")


def _row(change: Change) -> list[str]:
    flips = ["", "", ""]
    if change.p is not None:
        flips = [str(change.better), str(change.worse), f"{change.p:.4f}"]
    return [
        f"{change.task} {change.metric}",
        str(change.examples),
        f"{change.first:.3f}",
        f"{change.second:.3f}",
        f"{change.second - change.first:+.3f}",
        f"{change.low:+.3f} to {change.high:+.3f}",
        *flips,
    ]
