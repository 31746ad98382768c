"""How long a server's step is beside the clients' mean change."""

from dataclasses import dataclass

from fedvlm_flwr.arrays import Arrays, float32
from strategies.core.validation import update_norm

LONG = 3.0  # a step beyond which the rule's memory moves the model more than the clients do


@dataclass(frozen=True)
class Step:
    """A server's step from the shared tensors, measured over all of them (L2 norm).

    Attributes:
        arrays: the shared tensors after it.
        ratio: its length over that of the clients' mean change; None: they did not move.
        rule_ratio: the same before it was shortened.
    """

    arrays: Arrays
    ratio: float | None
    rule_ratio: float | None

    @classmethod
    def of(cls, before: Arrays, mean: Arrays, after: Arrays, most: float | None) -> "Step":
        """A rule's step, shortened where it is longer than `most` times the mean change.

        All tensors are scaled alike, so that the direction stays. What a rule remembers (m, v, h)
        is not touched. Where the mean did not move, a bounded step is none.

        Args:
            before: the shared tensors that the clients were sent.
            mean: what their replies come to.
            after: the shared tensors as the rule has them.
            most: the longest step, times the mean change; None: any length.
        """
        change = update_norm(mean, {name: v for name, v in before.items() if name in mean})
        is_mean = all(after[name] is values for name, values in mean.items())
        length = change if is_mean else update_norm(after, before)
        ratio = length / change if change else None
        if most is None or length <= most * change:
            return cls(after, ratio, ratio)
        part = most * change / length
        nearer = {name: float32(old + part * (after[name] - old)) for name, old in before.items()}
        return cls(nearer, most if change else None, ratio)

    @property
    def words(self) -> str:
        """What is to be said of a step that is long, or was shortened; empty for others."""
        if self.rule_ratio is None or (self.rule_ratio <= LONG and self.rule_ratio == self.ratio):
            return ""
        end = "" if self.rule_ratio == self.ratio else f"; max_step_ratio={self.ratio:g} bounds it"
        return f"the server's step is {self.rule_ratio:.3g} times the clients' mean change{end}"
