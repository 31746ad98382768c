"""How much one client may weigh, whatever it says of itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from statistics import median_low
from typing import Self

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import TrainMetrics

Cohort = Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class WeightLimit:
    """What counts of a reply's numbers: at most so many times what is usual in its cohort.

    The medians are of what the clients said before the first round, so that a reply's weight is
    known when it arrives: the mean stays a running one, and depends neither on the order of the
    replies nor on whose are missing. Of an even number the lower middle one is taken, so that of
    two clients one cannot set the other's measure.

    Attributes:
        examples: the most that a client weighs.
        steps: the most local steps that count.
        per_step: the most examples for each local step; where a rule divides by the steps, few of
            them weigh as much as many examples.
        uniform: every client counts as one example.
    """

    examples: float = inf
    steps: float = inf
    per_step: float = inf
    uniform: bool = False

    @classmethod
    def of(
        cls,
        share: float,
        examples: Mapping[int, int],
        cohort: Cohort,
        steps_of: Callable[[int], int] | None,
        *,
        uniform: bool = False,
    ) -> Self:
        """The limit of a round.

        Args:
            share: times the median that a client may weigh.
            examples: training examples by client.
            cohort: by member the clients whose examples it trains on.
            steps_of: local steps of a round, given a client's number of examples; None: they are
                not known, and any number counts.
            uniform: whether every client counts as one example.

        Raises:
            RunError: a member's number is not known.
        """
        if missing := sorted({c for data in cohort.values() for c in data} - set(examples)):
            raise RunError(
                f"max_weight_share={share:g} needs every client's number of examples, and that of "
                f"client {missing[0]} is not known; update its app or choose max_weight_share=null."
            )
        counts = [1 if uniform else sum(examples[c] for c in data) for data in cohort.values()]
        most = share * max(1, median_low(counts))
        if steps_of is None:
            return cls(examples=most, uniform=uniform)
        steps = [sum(steps_of(examples[c]) for c in data) for data in cohort.values()]
        rates = [count / number for count, number in zip(counts, steps, strict=True) if number]
        per_step = share * median_low(rates or [inf])
        return cls(most, share * max(1, median_low(steps)), per_step, uniform)

    def weight(self, metrics: TrainMetrics, *, by_steps: bool) -> float:
        """What a reply weighs.

        Args:
            by_steps: whether the rule divides what a client sends by its steps.
        """
        most = min(self.examples, self.per_step * metrics.steps) if by_steps else self.examples
        return min(1.0 if self.uniform else metrics.num_examples, most)

    def bounded(self, metrics: TrainMetrics, *, by_steps: bool) -> TrainMetrics:
        """A reply's numbers with what counts of its examples; the same object where all do.

        Args:
            by_steps: see `weight`.
        """
        weight = self.weight(metrics, by_steps=by_steps)
        if self.uniform or metrics.num_examples <= weight:
            return metrics
        return replace(metrics, num_examples=weight)

    def words(self, metrics: TrainMetrics, *, by_steps: bool) -> str:
        """How much of a reply does not count; empty where all does.

        Args:
            by_steps: see `weight`.
        """
        weight = self.weight(metrics, by_steps=by_steps)
        if self.uniform:
            steps = f"it reports {metrics.steps} steps and weighs as {weight:g} of a client"
            return steps if weight < 1 else ""
        examples = f"it reports {metrics.num_examples:g} examples and weighs as {weight:g}"
        return examples if weight < metrics.num_examples else ""
