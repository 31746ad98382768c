"""Whose replies were left out or asked for again, how often and why."""

from collections.abc import Iterable

from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.history import Failure
from fedvlm_flwr.report.page.parts import Grid, Section, Text
from fedvlm_flwr.report.tables.base import Cell, Line, Table, text_cell

ORDER = 80
GROWS = True
MOST = 60  # lines of the table
WORDS = 300  # characters of a reason


def section(experiment: Experiment) -> Section | None:
    """A line for each run, client and reason."""
    counts: dict[tuple[str, str, str, str], list[Failure]] = {}
    for run in experiment.histories:
        for one in run.failures:
            what = "asked again" if one.retried else "left out"
            counts.setdefault((run.name, one.client, what, one.reason), []).append(one)
    if not counts:
        text = Text("Every client answered every request of every round.")
        return Section("failures", "Failures", [text])
    lines = [
        Line(
            [
                *map(text_cell, (*key[:3], key[3][:WORDS], _rounds(own))),
                Cell(str(len(own)), (float(len(own)),)),
            ]
        )
        for key, own in sorted(counts.items(), key=lambda item: -len(item[1]))
    ]
    more = len(lines) - MOST
    caption = f"The {MOST} most frequent; {more} more in metrics.jsonl." if more > 0 else ""
    columns = ["run", "client", "what", "reason", "rounds", "times"]
    table = Table("failures", "Failures", columns, lines[:MOST], caption, names=5)
    return Section("failures", "Failures", [Grid(table)])


def _rounds(failures: Iterable[Failure]) -> str:
    """Numbers of rounds, those in a row as a range."""
    numbers = sorted({one.round for one in failures})
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
