"""The table at the end of a run, read from its folder."""

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fedvlm_flwr.report.headlines import headline, settings_of
from fedvlm_flwr.report.live import size
from fedvlm_flwr.run_folder import METRICS, RunFolder

CONTROLS = {
    "majority": "majority answer",
    "question": "... of the question",
    "shuffled": "shuffled images",
}

# What is told of a headline metric after the last round, and the names it is kept under.
BESIDE = {
    "95 % from": "{}_low",
    "95 % to": "{}_high",
    "client mean": "local_{}_mean",
    "client worst": "local_{}_worst",
    "client deviation": "local_{}_std",
}
INTERVAL = "95 %: bootstrap interval of the score, over the examples of the test set"
OF_SITES = "95 %: normal interval of the score, over the examples that all sites hold out"
BEST = "it was the best on validation records"
UNIFORM = "the clients count alike, however many examples each has"
OF_CLIENTS = (
    "client mean, worst, deviation (standard deviation): each on its own share of the test set"
)

Values = dict[tuple[int, str, str], Any]


def server_values(folder: RunFolder) -> Values:
    """The scores and training numbers by (round, task, metric); a later line replaces an earlier.

    They are the server's, or the mean over the clients where each has a model of its own, or those
    over all records of real sites, where the server has none of its own.
    """
    return merged(list(folder.lines(METRICS)))


def merged(lines: Sequence[Mapping[str, Any]]) -> Values:
    """The numbers of lines of metrics, see `server_values`."""
    return {
        (line["round"], line["task"], line["metric"]): line["value"]
        for places in (("sites",), ("server", "clients"))
        for line in lines
        if line["where"] in places
    }


def headlines(folder: RunFolder, values: Values) -> dict[str, str]:
    """The metric that is shown, by task."""
    settings = settings_of(folder)
    tasks = sorted({task for _, task, _ in values if task != "train"})
    return {task: headline(task, settings) for task in tasks}


def result_table(folder: RunFolder, width: int = 120) -> str:
    """Each round's training loss, seconds, bytes and scores, then what belongs to the last ones.

    Those are their interval, what they come to on the clients' own shares, and the controls.
    Scores marked ~ come from the sample that is used between the first and the last round.
    """
    values = server_values(folder)
    metrics = headlines(folder, values)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("round", no_wrap=True)
    fixed = ("loss", "seconds", "down", "up")
    for heading in (*fixed, *(f"{task}\n{metric}" for task, metric in metrics.items())):
        table.add_column(heading, justify="right", no_wrap=True)
    for number in sorted({number for number, _, _ in values}):
        table.add_row(*_round_row(values, metrics, number))
    last = max((number for number, _, _ in values), default=0)
    controls = {text: f"control_{name}_{{}}" for name, text in CONTROLS.items()}
    for text, pattern in (BESIDE | controls).items():
        cells = [values.get((last, t, pattern.format(m))) for t, m in metrics.items()]
        if any(cell is not None for cell in cells):
            table.add_row(text, "", "", "", "", *(_number(cell) for cell in cells))
    page = StringIO()
    least = Console(width=10_000).measure(table).maximum  # nothing is cut, whatever the width
    Console(file=page, width=max(width, least), color_system=None).print(table)
    body = "\n".join(line.rstrip() for line in page.getvalue().splitlines()).strip("\n")
    return "\n".join([body, *_notes(values, metrics, last), *left_out(folder)])


def _notes(values: Values, metrics: dict[str, str], last: int) -> list[str]:
    """What the intervals and the clients' numbers are; that clients count alike, where they do."""
    has_interval = any((last, task, f"{metric}_low") in values for task, metric in metrics.items())
    counts = [
        f"{task} {values[last, task, 'local_clients']:.0f}"
        for task in metrics
        if (last, task, "local_clients") in values
    ]
    of_sites = any((last, task, "examples") in values for task in metrics)
    interval = [OF_SITES if of_sites else INTERVAL] if has_interval else []
    clients = [f"{OF_CLIENTS}; clients: {', '.join(counts)}"] if counts else []
    weighting = [UNIFORM] if (0, "train", "weighting") in values else []
    best = values.get((last, "train", "best_round"))
    origin = [] if best is None else [f"the last scores are of round {best:.0f}'s model: {BEST}"]
    return [*interval, *clients, *weighting, *origin]


def left_out(folder: RunFolder, most: int = 20) -> list[str]:
    """A line for each client that was left out of a round, with its reason."""
    lines = [
        f"left out: round {line['round']}, {line['where'].replace(':', ' ')}: {line['value']}"
        for line in folder.lines(METRICS)
        if line["metric"] == "failure"
    ]
    more = [f"left out: {len(lines) - most} more, see {METRICS}"] if len(lines) > most else []
    return lines[:most] + more


def _round_row(values: Values, metrics: dict[str, str], number: int) -> list[str]:
    train = {key: values.get((number, "train", key)) for key in ("loss", "seconds")}
    weights = [values.get((number, "train", key)) for key in ("bytes_down", "bytes_up")]
    scores = []
    for task, metric in metrics.items():
        mark = "" if values.get((number, task, "full"), 1.0) else "~"
        score = values.get((number, task, metric))
        scores.append("" if score is None else mark + _number(score))
    return [
        str(number) if number else "before",
        _number(train["loss"], 4),
        _number(train["seconds"], 1),
        *("" if weight is None else size(weight) for weight in weights),
        *scores,
    ]


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"
