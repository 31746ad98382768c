"""What the runs used: seconds by phase, bytes, memory, model loads."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Grid, Panels, Section
from fedvlm_flwr.report.pictures.bars import draw_bars
from fedvlm_flwr.report.pictures.style import Picture
from fedvlm_flwr.report.tables.base import Heading, Line, Table, score_cell, text_cell

ORDER = 70
GROWS = True
Read = Callable[[Mapping[str, Any]], float]

PHASES: Mapping[str, Read] = {
    "waiting for clients": lambda cost: cost["seconds"]["waiting"],
    "server in rounds": lambda cost: cost["seconds"]["rounds"] - cost["seconds"]["waiting"],
    "evaluation": lambda cost: cost["seconds"]["evaluation"],
    "everything else": lambda cost: max(
        0.0,
        cost["seconds"]["wall"] - cost["seconds"]["rounds"] - cost["seconds"]["evaluation"],
    ),
}
COLUMNS: Mapping[str, Mapping[str, tuple[int, Read]]] = {
    "seconds": {
        "in all": (1, lambda cost: cost["seconds"]["wall"]),
        "rounds": (1, lambda cost: cost["seconds"]["rounds"]),
        "evaluation": (1, lambda cost: cost["seconds"]["evaluation"]),
        "local training": (1, lambda cost: cost["seconds"]["local_training"]),
    },
    "megabytes": {
        "down": (2, lambda cost: cost["bytes"]["down"] / 1e6),
        "up": (2, lambda cost: cost["bytes"]["up"] / 1e6),
    },
    "memory, GB": {
        "server": (2, lambda cost: _of(cost, "server", "peak_memory_bytes") / 1e9),
        "a client": (2, lambda cost: _of(cost, "client", "peak_memory_bytes") / 1e9),
    },
    "a client process": {
        "model loads": (0, lambda cost: _of(cost, "client", "model_loads")),
        "images encoded": (0, lambda cost: _of(cost, "client", "images_encoded")),
    },
}
CAPTION = (
    "Local training is the clients' time added up, side by side or not. Memory is the largest that "
    "a process has held; loads and images are those of the client process with the most. Of "
    "several runs: mean ± standard deviation over all runs of the row."
)


def section(experiment: Experiment) -> Section | None:
    """A table of all accounts, and a bar of seconds for each row."""
    rows = {row: [run for run in runs if run.cost] for row, runs in experiment.rows.items()}
    if not any(rows.values()):
        return None
    lines = []
    for row, runs in rows.items():
        cells = [
            score_cell([read(run.cost) for run in runs], digits)
            for columns in COLUMNS.values()
            for digits, read in columns.values()
        ]
        lines.append(Line([text_cell(experiment.row_label(row)), *cells]))
    table = Table(
        "cost",
        "Seconds, bytes and memory",
        ["", *(name for columns in COLUMNS.values() for name in columns)],
        lines,
        CAPTION,
        [Heading(""), *(Heading(name, len(columns)) for name, columns in COLUMNS.items())],
    )
    names = {experiment.row_label(row): runs for row, runs in rows.items() if runs}
    return Section("cost", "Cost", [_bars(names), Grid(table)])


def _bars(rows: Mapping[str, Sequence[History]]) -> Panels:
    values = {
        name: [sum(read(run.cost) for run in runs) / len(runs) for read in PHASES.values()]
        for name, runs in rows.items()
    }
    alt = "Seconds by phase: " + "; ".join(
        f"{name} {', '.join(f'{part} {x:.1f}' for part, x in zip(PHASES, own, strict=True))}"
        for name, own in values.items()
    )
    draw = partial(draw_bars, values, list(PHASES), "seconds")
    picture = Picture("seconds", "Seconds by phase", draw, alt)
    return Panels([picture], "Seconds of a run from start to end, by phase.", bars=list(PHASES))


def _of(cost: Mapping[str, Any], process: str, key: str) -> float:
    return float(cost["processes"].get(process, {}).get(key, 0))
