"""The runs of a report side by side: rows of what was chosen, columns of what it was tried on."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.sweep import Key, choices, grouped, label, select_metrics, varying

GROUND = ("dataset", "partition")  # the groups that rows are compared on
BASELINES = ("central", "local")  # what federation is measured by, below the others
LONGEST = 100  # characters of a file's name
Pair = tuple[str, str]  # task, metric


@dataclass(frozen=True)
class Experiment:
    """One run, or all finished ones of a folder.

    Attributes:
        root: the folder.
        histories: the runs.
        unfinished: names of those that are left out.
        metric_names: `task.metric`, which replace the headline of their task.
        column_keys: keys or groups whose values are columns, as those of dataset and partition.
    """

    root: Path
    histories: Sequence[History]
    unfinished: Sequence[str] = ()
    metric_names: Sequence[str] = field(default_factory=tuple)
    column_keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in self.column_keys:
            if not any(_is_in(key, name) for key in self.keys):
                keys = ", ".join(key.removesuffix(".name") for key in self.keys) or "none"
                raise ConfigError(
                    f"--columns {name} is no key in which the runs differ; choose of: {keys}."
                )

    @cached_property
    def keys(self) -> list[str]:
        """The keys in which the runs differ, the seed aside."""
        return varying(self.histories)

    @cached_property
    def rows(self) -> dict[Key, list[History]]:
        """The runs of each row of tables, baselines last.

        Raises:
            RunError: two runs have the same configuration and seed.
        """
        grouped(self.histories, self.keys)  # refuses twins
        own = [key for key in self.keys if not self._is_ground(key)]
        rows = _by(self.histories, [key for key in own if not self._is_of_ground(key)])
        return dict(sorted(rows.items(), key=lambda item: self.is_baseline(item[0])))

    @cached_property
    def columns(self) -> dict[Key, list[History]]:
        """The runs on each dataset and partition, and with each value of the other columns."""
        return _by(self.histories, [key for key in self.keys if self._is_ground(key)])

    def _is_ground(self, key: str) -> bool:
        return any(_is_in(key, name) for name in (*GROUND, *self.column_keys))

    def _is_of_ground(self, key: str) -> bool:
        """Whether a dataset or partition brings a key's value with it, as that of long answers."""
        values = [{repr(run.keys.get(key)) for run in own} for own in self.columns.values()]
        return not key.endswith(".name") and all(len(own) == 1 for own in values)

    def cell(self, row: Key, column: Key) -> list[History]:
        """The runs of a row on a column's ground, by seed."""
        ground = {id(run) for run in self.columns[column]}
        return sorted((r for r in self.rows[row] if id(r) in ground), key=lambda r: r.seed)

    def pairs(self, column: Key) -> list[Pair]:
        """Task and metric of each score on a ground.

        Raises:
            ConfigError: a metric that was asked for is unknown.
        """
        every = select_metrics(self.histories, self.metric_names)
        own = self.columns[column]
        return [pair for pair in every if any(run.scores(*pair) for run in own)]

    def is_baseline(self, row: Key) -> bool:
        """Whether a row is no federation but what one is measured by."""
        return any(value in BASELINES for name, value in row if name == "algorithm")

    def row_label(self, row: Key) -> str:
        """A row's name; of the only one its algorithm and what it trains."""
        return label(row) or choices(self.histories[0]) or "the run"

    def column_label(self, column: Key) -> str:
        """A ground's name; of the only one dataset and partition."""
        return label(column) or choices(self.histories[0], GROUND)

    @cached_property
    def is_single(self) -> bool:
        """Whether it is one run."""
        return len(self.histories) == 1

    @cached_property
    def seeds(self) -> list[str]:
        """All seeds, sorted."""
        return sorted({run.seed for run in self.histories}, key=lambda s: (len(s), s))

    def unequal(self, column: Key) -> Mapping[Key, list[int]]:
        """Optimizer steps of each row on a ground, where they are not the same for all."""
        steps = {row: sorted({r.steps for r in self.cell(row, column)}) for row in self.rows}
        steps = {row: own for row, own in steps.items() if own}
        return steps if len({n for own in steps.values() for n in own}) > 1 else {}


def _is_in(key: str, name: str) -> bool:
    """Whether a key is of this name, or of the group of this name."""
    return key == name or key.startswith(f"{name}.")


def file_name(*words: str) -> str:
    """A plain name for a file, of words of any text; where much is lost, with a hash of it."""
    text = " ".join(words)
    plain = "-".join(re.findall("[a-z0-9]+", text.lower()))
    if len(plain) <= LONGEST and text.isascii():
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _by(histories: Sequence[History], keys: Sequence[str]) -> dict[Key, list[History]]:
    result: dict[Key, list[History]] = {}
    for run in histories:
        key = tuple((k.removesuffix(".name"), str(run.keys.get(k, ""))) for k in keys)
        result.setdefault(key, []).append(run)
    return result
