"""Two models on the same examples: which answers became right, which wrong, and by how much."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.evaluation.statistics import LESS_IS_BETTER, intervals
from fedvlm_flwr.run_folder import PREDICTIONS, RunFolder
from fedvlm_flwr.seeding import stream

SEED, RESAMPLES = 0, 10_000  # of the bootstrap: the same two folders give the same numbers

Record = Mapping[str, Any]
Key = tuple[str, str, int]  # task, id, and the how manyeth of these


@dataclass(frozen=True)
class Change:
    """How a metric of a task differs between two models, A and B, on the same examples.

    Attributes:
        examples: their number.
        first, second: A's and B's mean.
        low, high: the 95 % interval of the difference B - A, a paired bootstrap over the examples.
        better, worse: examples on which B is right and A wrong, and the other way; None of a metric
            that is more than right or wrong.
    """

    task: str
    metric: str
    examples: int
    first: float
    second: float
    low: float
    high: float
    better: int | None = None
    worse: int | None = None

    @property
    def p(self) -> float | None:
        """McNemar's exact two-sided p, where examples are right or wrong."""
        if self.better is None or self.worse is None:
            return None
        return mcnemar(self.better, self.worse)


@dataclass(frozen=True)
class Answers:
    """What a model has answered, and what each metric gives for each answer, by example."""

    path: Path
    records: Mapping[Key, Record]


def read_answers(folder: RunFolder) -> Answers:
    """The predictions of a finished run, or of an evaluation.

    Raises:
        RunError: there are none, or they are not of a whole test set with scores by example.
    """
    path = folder.path / PREDICTIONS
    if not path.exists():
        raise RunError(
            f"There is no {path}: the clients have scored, or nothing was yet; score one model "
            "with fedvlm evaluate, and name the folder that it prints."
        )
    records: dict[Key, Record] = {}
    counts: dict[tuple[str, str], int] = {}
    for line in folder.lines(PREDICTIONS):
        if "scores" not in line:
            raise RunError(
                f"{path} has no scores by example: it is of a sample between rounds, or of an "
                "earlier version; score the model with fedvlm evaluate."
            )
        name = (str(line["task"]), str(line["id"]))
        counts[name] = counts.get(name, 0) + 1
        records[*name, counts[name]] = line
    if not records:
        raise RunError(f"{path} holds no prediction; score the model with fedvlm evaluate.")
    return Answers(folder.path, records)


def compare_answers(first: Answers, second: Answers) -> list[Change]:
    """Each task's metrics that are means over examples, of both.

    Raises:
        RunError: they are of different examples.
    """
    require_same_examples(first, second)
    by_task: dict[str, list[Key]] = {}
    for key in sorted(first.records):
        by_task.setdefault(key[0], []).append(key)
    return [
        _change(task, metric, [_values(a, keys, metric) for a in (first, second)])
        for task, keys in by_task.items()
        for metric in first.records[keys[0]]["scores"]
        if metric in second.records[keys[0]]["scores"]
    ]


def require_same_examples(first: Answers, second: Answers) -> None:
    """Refuse what was not scored on the same examples.

    Raises:
        RunError: names one that differs.
    """
    ours, theirs = first.records, second.records
    where = f"{first.path} and {second.path}"
    if odd := sorted(ours.keys() ^ theirs.keys()):
        task, name, _ = odd[0]
        side = first.path if odd[0] in ours else second.path
        raise RunError(
            f"{where} were scored on different examples ({len(ours)} and {len(theirs)}): '{name}' "
            f"({task}) is in {side} alone; score both on one test set with fedvlm evaluate."
        )
    for key, record in ours.items():
        for text in ("question", "reference"):
            if record[text] != theirs[key][text]:
                raise RunError(
                    f"{where} were scored on different examples: the {text} of '{key[1]}' "
                    f"({key[0]}) is {record[text][:60]!r} in one and {theirs[key][text][:60]!r} in "
                    "the other; score both on one test set with fedvlm evaluate."
                )


def changed(
    first: Answers, second: Answers, metric_of: Mapping[str, str]
) -> list[tuple[Record, Record, float]]:
    """The examples whose score differs, the largest difference first: A's record, B's and B - A.

    Args:
        metric_of: the metric that counts, by task; examples of others are left aside.
    """
    rows = []
    for key, record in sorted(first.records.items()):
        other, metric = second.records[key], metric_of.get(key[0])
        apart = other["scores"][metric] - record["scores"][metric] if metric else 0.0
        if apart:
            rows.append((record, other, apart))
    return sorted(rows, key=lambda row: -abs(row[2]))


def mcnemar(better: int, worse: int) -> float:
    """McNemar's exact two-sided p: of so many changes, as many in one direction by even chances.

    Twice the smaller tail of the binomial with probability 1/2, 1 at most (McNemar 1947).
    """
    count, fewer = better + worse, min(better, worse)

    def chance(k: int) -> float:
        ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        return math.exp(ways - count * math.log(2))

    return min(1.0, 2 * math.fsum(map(chance, range(fewer + 1))))


def _values(answers: Answers, keys: Sequence[Key], metric: str) -> list[float]:
    return [float(answers.records[key]["scores"][metric]) for key in keys]


def _change(task: str, metric: str, values: Sequence[Sequence[float]]) -> Change:
    first, second = values
    apart = [b - a for a, b in zip(first, second, strict=True)]
    draw = stream(SEED, f"paired bootstrap {task}")
    low, high = intervals({metric: apart}, RESAMPLES, draw)[metric]
    counts: dict[str, int] = {}
    if {*first, *second} <= {0.0, 1.0}:
        sign = -1 if metric in LESS_IS_BETTER else 1
        counts = {
            "better": sum(sign * one > 0 for one in apart),
            "worse": sum(sign * one < 0 for one in apart),
        }
    return Change(task, metric, len(apart), fmean(first), fmean(second), low, high, **counts)
