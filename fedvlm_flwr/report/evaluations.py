"""Runs as `fedvlm evaluate` has scored them on other records, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedvlm_flwr.evaluation_folder import EvaluationFolder, evaluations_of
from fedvlm_flwr.report.experiment import Experiment, Pair
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.sweep import Key, grouped, label, select_metrics, varying
from fedvlm_flwr.report.table import server_values
from fedvlm_flwr.run_folder import PREDICTIONS

DATASET, EVAL = "dataset.", "eval."  # begin the keys of which records were scored, and how


@dataclass(frozen=True)
class Evaluated:
    """One evaluation.

    Attributes:
        run: whose model was scored.
        name: of its folder.
        keys: the leaves of its configuration that say which records, by dotted key.
        last: its scores, by (task, metric).
    """

    run: History
    folder: EvaluationFolder
    name: str
    keys: Mapping[str, Any]
    last: Mapping[Pair, float]

    @classmethod
    def read(cls, run: History, folder: EvaluationFolder) -> "Evaluated":
        """The evaluation of a folder.

        Raises:
            RunError: a file of it is damaged.
        """
        every = folder.settings()
        keys = {k: v for k, v in every.items() if k.startswith((DATASET, EVAL))}
        values = server_values(folder).items()
        return cls(run, folder, folder.path.name, keys, {(t, m): v for (_, t, m), v in values})

    @property
    def client(self) -> int | None:
        """Whose own model it is; None: everybody's."""
        return self.folder.client

    def is_of(self, runs: Sequence[History]) -> bool:
        """Whether it is of one of these runs."""
        return any(self.run is run for run in runs)

    def interval(self, pair: Pair) -> tuple[float, float] | None:
        """The ends of a score's 95 % interval; None where it has none."""
        low, high = (self.last.get((pair[0], f"{pair[1]}_{end}")) for end in ("low", "high"))
        return None if low is None or high is None else (low, high)


@dataclass(frozen=True)
class Ground:
    """Records that runs were scored on, and the scores that there are of them."""

    key: Key
    own: Sequence[Evaluated]
    pairs: Sequence[Pair]

    @property
    def label(self) -> str:
        """Its name: what tells it from the others; of the only one its dataset's."""
        return label(self.key) or str(self.own[0].keys.get("dataset.name", ""))


def evaluated(experiment: Experiment) -> list[Evaluated]:
    """All evaluations of the runs of a report.

    Raises:
        RunError: a file of one is damaged.
    """
    return [
        Evaluated.read(run, folder)
        for run in experiment.histories
        for folder in evaluations_of(run.folder.path)
    ]


def grounds(every: Sequence[Evaluated], metric_names: Sequence[str]) -> list[Ground]:
    """The records that were scored, each with the metrics to show.

    Args:
        metric_names: `task.metric`; what no evaluation has is passed over.
    """
    keys = _telling(every)
    by_key: dict[Key, list[Evaluated]] = {}
    for one in every:
        values = {k.removesuffix(".name"): one.keys.get(k) for k in keys}
        key = tuple((k, "" if value is None else str(value)) for k, value in values.items())
        by_key.setdefault(key, []).append(one)
    there = {".".join(pair) for one in every for pair in one.last}
    shown_pairs = select_metrics(every, [name for name in metric_names if name in there])
    return [
        Ground(key, own, [p for p in shown_pairs if any(p in one.last for one in own)])
        for key, own in sorted(by_key.items())
    ]


def _telling(every: Sequence[Evaluated]) -> list[str]:
    """The keys that tell records apart; what a dataset brings with it, as a length, does not."""
    keys = varying(every)
    of_data = [key for key in keys if key.startswith(DATASET)]
    values: dict[tuple[str, ...], list[Evaluated]] = {}
    for one in every:
        values.setdefault(tuple(repr(one.keys.get(key)) for key in of_data), []).append(one)
    return of_data + [
        key
        for key in keys
        if key not in of_data
        and any(len({repr(one.keys.get(key)) for one in own}) > 1 for own in values.values())
    ]


def rows(
    experiment: Experiment, every: Sequence[Evaluated]
) -> Iterator[tuple[str, bool, list[History], int | None]]:
    """For each row its name, whether it is a baseline, its runs, and whose own model it is of.

    Raises:
        RunError: two runs have the same configuration and seed.
    """
    groups = grouped(experiment.histories, experiment.keys)
    for key in sorted(groups, key=experiment.is_baseline):
        runs = groups[key]
        clients = {one.client for one in every if one.is_of(runs)}
        for client in sorted(clients, key=lambda number: -1 if number is None else number):
            name = label(key) or experiment.row_label(key)
            own = name if client is None else f"{name}, model of client {client}"
            yield own, experiment.is_baseline(key), runs, client


def on_other_examples(folders: Sequence[EvaluationFolder]) -> bool:
    """Whether runs were not all scored on the same examples."""
    return len({_examples(folder) for folder in folders}) > 1


def _examples(folder: EvaluationFolder) -> frozenset[tuple[str, str]]:
    return frozenset((line["task"], line["id"]) for line in folder.lines(PREDICTIONS))
