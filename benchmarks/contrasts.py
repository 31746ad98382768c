"""Two kinds of runs side by side: how far their scores differ, paired over seeds."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

from fedvlm_flwr.report.noise import FEWEST, LEVEL, paired_p
from fedvlm_flwr.report.sweep import RunSummary, mean_and_sd
from fedvlm_flwr.report.tables.base import MISSING, Cell

HIGHER, LOWER, WITHIN = "higher", "lower", "within the seeds' spread"
OWN_SHARES = "local_{}_mean"  # a metric's mean over clients, each on its own share of the test set
Pair = tuple[str, str]  # task, metric
BySeed = Mapping[str, float]


@dataclass(frozen=True)
class Arm:
    """Runs of one kind, by seed."""

    name: str
    runs: Mapping[str, RunSummary]

    @classmethod
    def of(cls, runs: Sequence[RunSummary], values: Mapping[str, str]) -> "Arm":
        """The runs that have these values of keys; there may be none.

        Raises:
            SystemExit: two of them have the same seed.
        """
        own = [run for run in runs if all(str(run.keys.get(k)) == v for k, v in values.items())]
        by_seed = {str(run.keys["seed"]): run for run in own}
        name = ", ".join(values.values())
        if len(by_seed) < len(own):
            sys.exit(f"Several runs of {name} have one seed; give what is not compared one value.")
        return cls(name, by_seed)

    def scores(self, task: str, metric: str) -> BySeed:
        """Scores after the last round, of the runs that have the metric."""
        pair = (task, metric)
        return {seed: run.last[pair] for seed, run in self.runs.items() if pair in run.last}


@dataclass(frozen=True)
class Difference:
    """Scores less others, of the seeds that both have."""

    ours: Sequence[float]
    theirs: Sequence[float]

    @classmethod
    def between(cls, ours: BySeed, theirs: BySeed) -> "Difference":
        """Of two kinds of runs."""
        seeds = sorted(ours.keys() & theirs.keys())
        return cls([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds])

    @property
    def p(self) -> float | None:
        """Of the two-sided paired t-test; None: there are too few seeds for one."""
        return paired_p(self.ours, self.theirs) if len(self.ours) >= FEWEST else None

    @property
    def mean_and_sd(self) -> tuple[float, float]:
        """Mean and standard deviation of the differences."""
        return mean_and_sd([a - b for a, b in zip(self.ours, self.theirs, strict=True)])

    @property
    def verdict(self) -> str | None:
        """Higher, lower, or within the seeds' spread; None: there are too few seeds to say so."""
        if self.p is None:
            return None
        if self.p >= LEVEL:
            return WITHIN
        return HIGHER if self.mean_and_sd[0] > 0 else LOWER

    def cell(self, digits: int = 3, unit: str = "") -> Cell:
        """Mean, deviation and p, bold where the seeds tell the two apart."""
        if not self.ours:
            return Cell(MISSING)
        mean, deviation = self.mean_and_sd
        spread = f" ± {deviation:.{digits}f}" if isfinite(deviation) else ""
        words = [f"{mean:+.{digits}f}{spread}{unit}"]
        if self.p is not None:
            words.append("p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}")
        return Cell(", ".join(words), (mean, deviation), self.verdict in (HIGHER, LOWER))


@dataclass(frozen=True)
class Contrast:
    """Two arms on one ground, compared by a metric of each task.

    Attributes:
        what: the two values that are compared, ours first.
        ground: the value that both have.
        form: of the metric's name.
    """

    what: tuple[str, str]
    ground: str
    ours: Arm
    theirs: Arm
    form: str = "{}"

    @property
    def label(self) -> str:
        """What is compared, whatever the ground."""
        shares = " on own shares" if self.form == OWN_SHARES else ""
        return f"{self.what[0]} less {self.what[1]}{shares}"

    def difference(self, pair: Pair) -> Difference:
        """Of the runs' scores of a task."""
        task, name = pair[0], self.form.format(pair[1])
        return Difference.between(self.ours.scores(task, name), self.theirs.scores(task, name))

    def relative(self, pairs: Sequence[Pair]) -> Difference:
        """The mean over tasks of ours in per cent of theirs, less 100; none if a score is 0."""
        each = [self.difference(pair) for pair in pairs]
        if not all(score for one in each for score in one.theirs):
            return Difference([], [])
        parts = ([a / b for a, b in zip(one.ours, one.theirs, strict=True)] for one in each)
        means = [100 * fmean(row) for row in zip(*parts, strict=True)]
        return Difference(means, [100.0] * len(means))


def tally(differences: Iterable[Difference]) -> str:
    """How many are higher, lower, or neither, in words that hold whichever way it is."""
    every = [difference for difference in differences if difference.ours]
    verdicts = Counter(difference.verdict for difference in every)
    if verdicts[None] == len(every):
        return "too few seeds to say" if every else "nothing to compare"
    words = [f"{verdicts[verdict]} {verdict}" for verdict in (HIGHER, LOWER, WITHIN)]
    if verdicts[None]:
        words.append(f"{verdicts[None]} of too few seeds to say")
    return f"{', '.join(words)}, of {len(every)}"
