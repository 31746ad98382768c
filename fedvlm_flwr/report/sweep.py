"""What the runs of a sweep say together: mean and standard deviation over seeds."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fedvlm_flwr.config.keys import facts_at
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.report.headlines import headline
from fedvlm_flwr.run_folder import CONFIG, METRICS, RunFolder

Key = tuple[tuple[str, str], ...]


def label(key: Key) -> str:
    """A combination of values as text: names alone, other values with their key."""
    return ", ".join(
        value if "." not in name else f"{name}={value}" for name, value in key if value
    )


class Keyed(Protocol):
    """A run that is told apart by its configuration."""

    @property
    def name(self) -> str:
        """Its folder's."""

    @property
    def keys(self) -> Mapping[str, Any]:
        """The leaves of its configuration by dotted key."""


Run = TypeVar("Run", bound=Keyed)


def choices(run: Keyed, groups: Sequence[str] = ("algorithm", "tuning")) -> str:
    """What a run has chosen of some groups, as text."""
    return ", ".join(
        str(run.keys[f"{group}.name"]) for group in groups if f"{group}.name" in run.keys
    )


@dataclass(frozen=True)
class RunSummary:
    """What one finished run came to.

    Attributes:
        keys: the leaves of its configuration by dotted key.
        steps: optimizer steps of all its clients together.
        first: scores before the first round, by (task, metric).
        last: scores after the last round.
        by_client: scores after the last round where each client has a model of its own.
        sampled: tasks whose last score is on a sample of the test set.
        failures: client replies that were left out.
        weighting: what clients counted by, examples or uniform.
        best_round: whose model the last scores are of, where validation records have chosen it.
    """

    name: str
    keys: Mapping[str, Any]
    steps: int
    first: Mapping[tuple[str, str], float]
    last: Mapping[tuple[str, str], float]
    by_client: Mapping[int, Mapping[tuple[str, str], float]]
    sampled: frozenset[str]
    failures: int
    weighting: str = "examples"
    best_round: int | None = None


@dataclass
class Sweep:
    """The runs found in a folder, finished ones summarised and the others by name."""

    runs: list[RunSummary] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)


def run_folders(root: Path) -> Iterator[tuple[RunFolder, str]]:
    """Every run folder at or below a folder, and its name from there, in the order of names."""
    for config in sorted(root.rglob(CONFIG)):
        inside = config.parent != root
        name = str(config.parent.relative_to(root)) if inside else root.resolve().name
        yield RunFolder(config.parent), name


def read_sweep(root: Path) -> Sweep:
    """Every run folder at or below `root`, in the order of their names.

    Raises:
        RunError: the folder does not exist or holds no finished run; a file in it is damaged.
    """
    if not root.is_dir():
        raise RunError(f"{root} is no folder; name a run folder or a sweep's folder.")
    sweep = Sweep()
    for folder, name in run_folders(root):
        if folder.is_finished():
            sweep.runs.append(_summary(folder, name))
        else:
            sweep.unfinished.append(name)
    if not sweep.runs:
        hint = f" ({len(sweep.unfinished)} unfinished: resume them)" if sweep.unfinished else ""
        raise RunError(f"{root} holds no finished run{hint}.")
    return sweep


def _summary(folder: RunFolder, name: str) -> RunSummary:
    lines = list(_checked(folder))
    keys = folder.settings()
    scores = [x for x in lines if x["task"] != "train" and not x["metric"].startswith("control_")]
    ends = {x["round"] for x in scores}
    if not ends:
        raise RunError(f"{folder.path / METRICS} holds no score; remove the folder or run it anew.")
    shared = [x for x in scores if x["where"] in ("server", "clients")]
    last = {(x["task"], x["metric"]): x["value"] for x in shared if x["round"] == max(ends)}
    first = {(x["task"], x["metric"]): x["value"] for x in shared if x["round"] == 0}
    by_client: dict[int, dict[tuple[str, str], float]] = {}
    for x in scores:
        if x["where"].startswith("client:") and x["round"] == max(ends):
            client = int(x["where"].partition(":")[2])
            by_client.setdefault(client, {})[x["task"], x["metric"]] = x["value"]
    trained = [x for x in lines if x["task"] == "train" and x["where"].startswith("client:")]
    return RunSummary(
        name=name,
        keys=keys,
        steps=int(sum(x["value"] for x in trained if x["metric"] == "steps")),
        first=first,
        last=last,
        by_client=by_client,
        sampled=frozenset(t for (t, m), value in last.items() if m == "full" and not value),
        failures=sum(x["metric"] == "failure" for x in trained),
        weighting=next((x["value"] for x in lines if x["metric"] == "weighting"), "examples"),
        best_round=next(
            (int(x["value"]) for x in lines[::-1] if x["metric"] == "best_round"), None
        ),
    )


def _checked(folder: RunFolder) -> Iterable[dict[str, Any]]:
    path = folder.path / METRICS
    if not path.exists():
        raise RunError(f"{path} is missing; remove the folder or run it anew.")
    for number, line in enumerate(folder.lines(METRICS), start=1):
        missing = {"round", "where", "task", "metric", "value"} - line.keys()
        if missing:
            raise RunError(
                f"{path}, line {number} is damaged: it has no {', '.join(sorted(missing))}; "
                "restore the file, or run it anew."
            )
        yield line


def varying(runs: Sequence[Keyed]) -> list[str]:
    """The keys in which runs differ, a group's name in place of what the name determines."""
    every = dict.fromkeys(key for run in runs for key in run.keys)
    differ = [
        key
        for key in every
        if any(_tells_apart(key, run) for run in runs)
        and len({repr(run.keys.get(key)) for run in runs}) > 1
    ]
    names = [key for key in differ if key.endswith(".name")]
    rest = [key for key in differ if key not in names]
    return names + [key for key in rest if not _implied(key, differ, runs)]


def _tells_apart(key: str, run: Keyed) -> bool:
    """Whether a key makes runs different experiments: the seed does not, the mean is over it.

    Nor does one of another name that has the run's own seed (`model.connector_seed=${seed}`).
    """
    if key.endswith("seed") and run.keys.get(key) == run.keys.get("seed"):
        return False
    kinds = {n.removesuffix(".kind"): str(k) for n, k in run.keys.items() if n.endswith(".kind")}
    return facts_at(key, kinds).report == "differs"


def _implied(key: str, differ: Sequence[str], runs: Sequence[Keyed]) -> bool:
    """Whether the name of a key's group, or whose settings were taken, says its value already."""
    group = key.partition(".")[0]
    tellers = {f"{group}.name"}
    if group == "algorithm" or key == "train.lr":  # what conf/settings holds of an algorithm
        tellers |= {"settings", "algorithm.name"} if "settings" in differ else set()
    tellers &= set(differ)
    values: dict[tuple[str, ...], set[str]] = {}
    for run in runs:
        place = tuple(str(run.keys.get(name)) for name in sorted(tellers))
        values.setdefault(place, set()).add(repr(run.keys.get(key)))
    return bool(tellers) and all(len(own) == 1 for own in values.values())


def grouped(runs: Sequence[Run], keys: Sequence[str]) -> dict[Key, list[Run]]:
    """The runs of each combination of values, in the sweep's own order.

    Raises:
        RunError: two of them have the same seed, so that a spread over seeds would be too small.
    """
    result: dict[Key, list[Run]] = {}
    names: dict[tuple[Key, str], str] = {}
    for run in runs:
        values = tuple((key.removesuffix(".name"), str(run.keys.get(key, ""))) for key in keys)
        twin = names.setdefault((values, str(run.keys.get("seed"))), run.name)
        if twin != run.name:
            raise RunError(
                f"{twin} and {run.name} have the same configuration and seed; move one away."
            )
        result.setdefault(values, []).append(run)
    return result


class Scored(Keyed, Protocol):
    """A run with scores."""

    @property
    def last(self) -> Mapping[tuple[str, str], float]:
        """The scores after its last round, by (task, metric)."""


def select_metrics(runs: Sequence[Scored], metric_names: Sequence[str]) -> list[tuple[str, str]]:
    """The (task, metric) pairs to show: each task's headline, or what was asked for.

    Args:
        metric_names: `task.metric` names, which replace the headline of their task.

    Raises:
        ConfigError: a run has no such metric; lists the known ones.
    """
    choices = sorted({pair for run in runs for pair in run.last if pair[1] != "full"})
    requests = [tuple(name.split(".", 1)) for name in metric_names]
    for pair, name in zip(requests, metric_names, strict=True):
        if pair not in choices:
            names = ", ".join(".".join(each) for each in choices)
            raise ConfigError(f"Unknown metric '{name}'; choose one of: {names}.")
    replaced = {pair[0] for pair in requests}
    tasks = sorted({task for task, _ in choices})
    pairs: list[tuple[str, str]] = []
    for task in tasks:
        if task in replaced:
            pairs += [(pair[0], pair[1]) for pair in requests if pair[0] == task]
        else:
            pairs += [(task, name) for name in dict.fromkeys(headline(task, r.keys) for r in runs)]
    return pairs


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (ddof 1); NaN for the latter of a single value."""
    defined = len(values) > 1 and all(math.isfinite(value) for value in values)
    return statistics.fmean(values), statistics.stdev(values) if defined else math.nan
