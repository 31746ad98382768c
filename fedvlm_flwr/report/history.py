"""A run as its folder tells it, round by round, finished or not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from fedvlm_flwr.evaluation.statistics import LOCAL
from fedvlm_flwr.report.headlines import headline
from fedvlm_flwr.report.table import CONTROLS, Values, merged
from fedvlm_flwr.run_folder import COST, METRICS, SITES, RunFolder

ByRound = dict[int, float]


@dataclass(frozen=True)
class Failure:
    """A client's reply that is not in a round's mean; asked once more where `retried`."""

    round: int
    client: str
    reason: str
    retried: bool


@dataclass(frozen=True)
class History:
    """What a run has written so far.

    Attributes:
        name: its folder's, from the sweep's on.
        keys: the leaves of its configuration by dotted key.
        lines: those of metrics.jsonl.
    """

    name: str
    folder: RunFolder
    keys: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, folder: RunFolder, name: str) -> "History":
        """The history of a run folder.

        Raises:
            RunError: a file of it is damaged; names it.
        """
        return cls(name, folder, folder.settings(), tuple(folder.lines(METRICS)))

    @property
    def seed(self) -> str:
        """The run's seed."""
        return str(self.keys.get("seed", ""))

    @cached_property
    def values(self) -> Values:
        """The server's numbers by (round, task, metric)."""
        return merged(self.lines)

    @cached_property
    def tasks(self) -> dict[str, str]:
        """The metric that is shown, by task."""
        names = sorted({task for _, task, _ in self.values if task != "train"})
        return {task: headline(task, self.keys) for task in names}

    @cached_property
    def last_round(self) -> int:
        """The newest round that is scored, 0 before all."""
        return max((number for number, task, _ in self.values if task != "train"), default=0)

    def scores(self, task: str, metric: str) -> ByRound:
        """A metric by round."""
        own = ((n, v) for (n, t, m), v in self.values.items() if (t, m) == (task, metric))
        return {number: float(value) for number, value in sorted(own)}

    @cached_property
    def last(self) -> dict[tuple[str, str], float]:
        """The scores after the newest scored round, by (task, metric)."""
        return self.at(self.last_round)

    def at(self, number: int) -> dict[tuple[str, str], float]:
        """The scores of a round, by (task, metric)."""
        own = ((t, m, v) for (n, t, m), v in self.values.items() if n == number and t != "train")
        return {(t, m): float(v) for t, m, v in own if not m.startswith("control_")}

    def is_sampled(self, task: str, number: int) -> bool:
        """Whether a round's score is on a sample of the test set."""
        return not self.values.get((number, task, "full"), 1.0)

    def controls(self, task: str, metric: str) -> dict[str, float]:
        """The scores of what does not look at the picture, by name."""
        keys = {name: (self.last_round, task, f"control_{name}_{metric}") for name in CONTROLS}
        return {name: float(self.values[k]) for name, k in keys.items() if k in self.values}

    def spent(self, unit: str) -> ByRound:
        """What the rounds have used up to each one.

        Args:
            unit: `bytes`, up and down together, or `seconds` of rounds.
        """
        names = ("bytes_up", "bytes_down") if unit == "bytes" else ("seconds",)
        columns = [self.scores("train", name) for name in names]
        rounds = sorted({number for column in columns for number in column})
        sums = accumulate(sum(column.get(n, 0.0) for column in columns) for n in rounds)
        return {0: 0.0, **dict(zip(rounds, sums, strict=True))}

    def by_client(self, task: str, metric: str) -> dict[int, float]:
        """Each client's score after the newest scored round: of its own share, or its own model."""
        result: dict[int, float] = {}
        for line in self.lines:
            if line["task"] != task or line["round"] != self.last_round:
                continue
            if line["metric"] in (metric, f"{LOCAL}{metric}") and ":" in line["where"]:
                result.setdefault(int(line["where"].partition(":")[2]), float(line["value"]))
        return dict(sorted(result.items()))

    @cached_property
    def steps(self) -> int:
        """Optimizer steps of all clients together."""
        own = (x["value"] for x in self.lines if x["task"] == "train" and x["metric"] == "steps")
        return int(sum(own))

    @cached_property
    def failures(self) -> list[Failure]:
        """Who failed when and why."""
        return [
            Failure(x["round"], self._named(x["where"]), str(x["value"]), again)
            for metric, again in (("failure", False), ("retried", True))
            for x in self.lines
            if x["metric"] == metric
        ]

    def _named(self, where: str) -> str:
        """A client by the name of its site, where it is one."""
        number = where.partition(":")[2]
        return f"site {self._sites[number]}" if number in self._sites else where.replace(":", " ")

    @cached_property
    def _sites(self) -> dict[str, str]:
        """The names of real sites by number; none in a simulation."""
        path = self.folder.path / SITES
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    @property
    def weighting(self) -> str:
        """What clients counted by in the means, examples or uniform."""
        return str(self.values.get((0, "train", "weighting"), "examples"))

    @property
    def best_round(self) -> int | None:
        """Whose model the last scores are of, where validation records have chosen it."""
        rounds = [int(v) for (_, _, metric), v in self.values.items() if metric == "best_round"]
        return rounds[-1] if rounds else None

    @cached_property
    def cost(self) -> dict[str, Any]:
        """The account of the run; empty before the end of its first round.

        Raises:
            RunError: the file is damaged.
        """
        return self.folder.cost() if (self.folder.path / COST).exists() else {}
