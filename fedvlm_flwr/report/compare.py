"""The table of a sweep: rows of configurations, columns of scores, and what must be said of it."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from fedvlm_flwr.report.sweep import (
    Key,
    RunSummary,
    Sweep,
    choices,
    grouped,
    label,
    mean_and_sd,
    select_metrics,
    varying,
)

BEFORE = "before training"


@dataclass(frozen=True)
class Comparison:
    """What is shown, whatever the format.

    Attributes:
        keys: the configuration keys in which the runs differ.
        metrics: (task, metric) pairs.
        rows: the runs of each row by the values of its keys.
        warnings: what must be read before the table (unequal budgets).
        notes: what belongs below it.
    """

    keys: list[str]
    metrics: list[tuple[str, str]]
    rows: Mapping[Key, list[RunSummary]]
    warnings: list[str]
    notes: list[str]

    def cells(self, runs: Sequence[RunSummary]) -> list[tuple[float, float] | None]:
        """Mean and deviation of each metric after the last round; None where a run lacks it."""
        return [_over([run.last.get(pair) for run in runs]) for pair in self.metrics]

    def before(self) -> list[tuple[float, float] | None]:
        """The same before the first round, over all runs."""
        if any(key.startswith(("dataset.", "model.", "eval.")) for key in self.keys):
            return [None for _ in self.metrics]  # other ground, other scores: no common beginning
        every = [run for runs in self.rows.values() for run in runs]
        return [_over([run.first.get(pair) for run in every]) for pair in self.metrics]

    def steps(self, runs: Sequence[RunSummary]) -> str:
        """Total optimizer steps of a run of the row; marked where budgets are unequal."""
        counts = sorted({run.steps for run in runs})
        text = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        return text + (" !" if self.warnings else "")


def _over(values: Sequence[float | None]) -> tuple[float, float] | None:
    numbers = [value for value in values if value is not None]
    return mean_and_sd(numbers) if numbers and len(numbers) == len(values) else None


def compare(sweep: Sweep, metric_names: Sequence[str] = ()) -> Comparison:
    """Put the runs of a sweep side by side.

    Raises:
        ConfigError: a metric that was asked for is unknown.
    """
    keys = varying(sweep.runs)
    rows = grouped(sweep.runs, keys)
    metrics = select_metrics(sweep.runs, metric_names)
    return Comparison(keys, metrics, rows, _budgets(rows), _notes(sweep, rows, metrics))


def _name(key: Key) -> str:
    """A row's name in a sentence."""
    return label(key) or "the run"


def _budgets(rows: Mapping[Key, list[RunSummary]]) -> list[str]:
    by_steps: dict[int, list[str]] = {}
    for key, runs in rows.items():
        for steps in sorted({run.steps for run in runs}):
            by_steps.setdefault(steps, []).append(_name(key))
    if len(by_steps) == 1:
        return []
    text = "; ".join(f"{steps} steps: {', '.join(names)}" for steps, names in by_steps.items())
    return [f"unequal budgets: rows marked ! are not comparable as they stand. {text}."]


def _notes(
    sweep: Sweep, rows: Mapping[Key, list[RunSummary]], metrics: Sequence[tuple[str, str]]
) -> list[str]:
    notes = _weighting(rows)
    for key, runs in rows.items():
        notes += _client_notes(key, runs, metrics)
        rounds = ", ".join(str(run.best_round) for run in runs if run.best_round is not None)
        if rounds:
            notes.append(
                f"{_name(key)}: the model of the best round on validation records ({rounds})"
            )
    for key, runs in rows.items():
        if left_out := sum(run.failures for run in runs):
            hit = sum(run.failures > 0 for run in runs)
            notes.append(f"{_name(key)}: {left_out} client replies were left out in {hit} run(s)")
    sampled = [_name(key) for key, runs in rows.items() if any(run.sampled for run in runs)]
    if sampled:
        notes.append(f"~ score on a sample of the test set: {'; '.join(sampled)}")
    if sweep.unfinished:
        notes.append(f"left out (not finished): {', '.join(sweep.unfinished)}")
    return notes


def _weighting(rows: Mapping[Key, list[RunSummary]]) -> list[str]:
    """What the rows optimize, where it is not the clients' mean loss by examples in all of them."""
    alike = [_name(key) for key, runs in rows.items() if runs[0].weighting == "uniform"]
    others = "; in the others by their examples" if len(alike) < len(rows) else ""
    return [f"clients count alike in: {'; '.join(alike)}{others}"] if alike else []


def _client_notes(
    key: Key, runs: Sequence[RunSummary], metrics: Sequence[tuple[str, str]]
) -> list[str]:
    """The range over clients where each has a model of its own."""
    parts = []
    for task, metric in metrics:
        cells = [
            (scores[task, metric], client, run.keys.get("seed"))
            for run in runs
            for client, scores in run.by_client.items()
            if (task, metric) in scores
        ]
        if cells:
            low, client, seed = min(cells)
            parts.append(
                f"{task} {metric} {low:.3f} (client {client}, seed {seed}) to {max(cells)[0]:.3f}"
            )
    return [f"{_name(key)}: per client {', '.join(parts)}"] if parts else []


def _row(key: Key, runs: Sequence[RunSummary]) -> list[str]:
    """What tells a row apart; of the only one the run's name, or what its runs have chosen."""
    if key:
        return [value for _, value in key]
    return [runs[0].name if len(runs) == 1 else choices(runs[0])]


def _number(cell: tuple[float, float] | None) -> str:
    if cell is None:
        return ""
    mean, deviation = cell
    return f"{mean:.3f}" if math.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"


def _header(comparison: Comparison) -> list[str]:
    keys = [key.removesuffix(".name") for key in comparison.keys] or ["run"]
    return [*keys, "n", "steps", *(f"{task} {metric}" for task, metric in comparison.metrics)]


def _lines(comparison: Comparison) -> list[list[str]]:
    width = max(1, len(comparison.keys))
    first = [BEFORE, *[""] * (width - 1), "", "", *(_number(cell) for cell in comparison.before())]
    lines = [first]
    for key, runs in comparison.rows.items():
        values = _row(key, runs)
        marks = [any(task in run.sampled for run in runs) for task, _ in comparison.metrics]
        scores = [
            ("~" if mark else "") + _number(cell)
            for mark, cell in zip(marks, comparison.cells(runs), strict=True)
        ]
        lines.append([*values, str(len(runs)), comparison.steps(runs), *scores])
    return lines


def as_text(comparison: Comparison, width: int = 120) -> str:
    """A table for a terminal; wider than `width` where a number would be cut otherwise."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    names = max(1, len(comparison.keys))
    for column, heading in enumerate(_header(comparison)):
        right = column >= names
        text = heading.replace(" ", "\n") if right else heading
        table.add_column(text, justify="right" if right else "left", no_wrap=True)
    for line in _lines(comparison):
        table.add_row(*line)
    page = StringIO()
    least = Console(width=10_000).measure(table).maximum
    Console(file=page, width=max(width, least), color_system=None).print(table)
    body = "\n".join(line.rstrip() for line in page.getvalue().splitlines()).strip("\n")
    return "\n".join([*comparison.warnings, body, *comparison.notes])


def as_markdown(comparison: Comparison) -> str:
    """A Markdown table with its notes as a list."""
    header = _header(comparison)
    names = max(1, len(comparison.keys))
    rule = ["---" if column < names else "---:" for column in range(len(header))]
    rows = [header, rule, *_lines(comparison)]
    body = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join(
        [
            *(f"**{text}**\n" for text in comparison.warnings),
            *body,
            "",
            *(f"- {n}" for n in comparison.notes),
        ]
    ).rstrip()


def as_csv(comparison: Comparison) -> str:
    """One row a configuration: its keys, n, steps, and mean and sd of each metric."""
    keys = [key.removesuffix(".name") for key in comparison.keys] or ["run"]
    columns = [f"{t}.{m}.{part}" for t, m in comparison.metrics for part in ("mean", "sd")]
    page = StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow([*keys, "n", "steps", *columns])
    blank = [""] * (len(keys) - 1)
    writer.writerow([BEFORE, *blank, "", "", *_plain(comparison.before())])
    for key, runs in comparison.rows.items():
        values = _row(key, runs)
        steps = " to ".join(str(n) for n in sorted({runs[0].steps, *(r.steps for r in runs)}))
        writer.writerow([*values, len(runs), steps, *_plain(comparison.cells(runs))])
    return page.getvalue().rstrip("\n")


def _plain(cells: Sequence[tuple[float, float] | None]) -> list[str]:
    pairs = [cell or (math.nan, math.nan) for cell in cells]
    return ["" if math.isnan(value) else repr(value) for pair in pairs for value in pair]
