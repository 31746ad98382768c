"""What the runs were computed with: packages, source, commit, device."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Grid, Section
from fedvlm_flwr.report.tables.base import Line, Table, text_cell
from fedvlm_flwr.run_folder import SURROUNDINGS, leaves

ORDER = 190
GROWS = True
PACKAGES = "packages."  # begins the name of one
HASHES = ("source", "commit")  # of which the first characters tell enough
MOST = 4  # runs that a line names
REPLICATE = "seed"  # in which runs differ on purpose
CAPTION = (
    "As surroundings.jsonl of the run folders has it, written whenever a run is started or gone on "
    "with. source: the hash of all our code; commit: of its checkout, + where files differed."
)


def section(experiment: Experiment) -> Section | None:
    """A line for each fact and each value of it, with the runs that have it."""
    table = table_of(experiment)
    return None if table is None else Section("surroundings", "Surroundings", [Grid(table)])


def table_of(experiment: Experiment) -> Table | None:
    """The table; None: no run has written them.

    Raises:
        RunError: a line of one is damaged.
    """
    facts = [(name, own) for run in experiment.histories for name, own in _starts(run)]
    if not facts:
        return None
    keys = dict.fromkeys(key for _, own in facts for key in own)
    values = {key.removeprefix(PACKAGES): _by_value(key, facts) for key in keys}
    differ = [name for name, own in values.items() if len(own) > 1]
    lines = [
        Line(list(map(text_cell, (name, value, _text(runs) if name in differ else "all"))))
        for name, own in values.items()
        for value, runs in own.items()
    ]
    return Table(
        "surroundings",
        "What the numbers were computed with",
        ["", "value", "runs"],
        lines,
        CAPTION,
        names=3,
        warnings=list(_warnings([name for name in differ if name != REPLICATE], experiment)),
    )


def _starts(run: History) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The facts of each start of a run, with its name; a later start says that it is one.

    Raises:
        RunError: a line holds none.
    """
    for number, line in enumerate(run.folder.lines(SURROUNDINGS), start=1):
        if not isinstance(line.get("packages"), dict):
            raise RunError(
                f"{run.folder.path / SURROUNDINGS}, line {number} is damaged: it names no "
                "packages; restore the file, or remove it."
            )
        yield (run.name if number == 1 else f"{run.name} (start {number})"), leaves(line)


def _by_value(key: str, facts: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """The runs that have each value of a fact."""
    result: dict[str, list[str]] = {}
    for name, own in facts:
        value = own.get(key)
        text = "none" if value is None else str(value)
        if key in HASHES and value is not None:
            text = text[:12] + ("+" if text.endswith("+") else "")
        result.setdefault(text, []).append(name)
    return result


def _text(runs: Sequence[str]) -> str:
    more = len(runs) - MOST
    return ", ".join([*runs[:MOST], *([f"{more} more"] if more > 0 else [])])


def _warnings(differ: Sequence[str], experiment: Experiment) -> Iterator[str]:
    if differ:
        yield (
            f"Not all runs were computed alike: they differ in {', '.join(differ)}. Their scores "
            "may differ for that reason too."
        )
    silent = [run.name for run in experiment.histories if not run.folder.size(SURROUNDINGS)]
    if silent:
        yield f"Without a {SURROUNDINGS}: {_text(silent)}."
