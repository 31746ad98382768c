"""Whether runs over several seeds can tell two rows of a table apart."""

import math
from collections.abc import Mapping, Sequence

from fedvlm_flwr.report.sweep import mean_and_sd

LEVEL = 0.05
FEWEST = 3  # seeds; the spread of two differences says next to nothing


def paired_p(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The p value of the two-sided paired t-test (Student 1908): 1 where nothing differs.

    Args:
        ours, theirs: scores of the same seeds in the same order, two at least.
    """
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    mean, deviation = mean_and_sd(differences)
    if not math.isfinite(mean) or mean == 0:
        return 1.0
    if not deviation > 1e-12 * abs(mean):  # the same difference with every seed
        return 0.0
    count = len(differences)
    return t_tail(mean / (deviation / math.sqrt(count)), count - 1)


def limits_of(seeds: int) -> str:
    """What the paired t-test over so few seeds rests on, as a sentence; empty with more of them."""
    least = 2 / 2**seeds
    if least < LEVEL:
        return ""
    return (
        f"The test takes the differences for normal, which {seeds} seeds cannot show; an exact "
        f"sign-flip test could give no less than p = {least:g}."
    )


def t_tail(t: float, freedom: int) -> float:
    """P(|T| > |t|) of Student's distribution with a whole number of degrees of freedom.

    The finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for i in range(2 + odd, freedom + 1, 2):  # of the cosine's powers, up to freedom - 2
        total += term
        term *= cosine**2 * (i - 1) / i
    total *= math.sin(angle)
    inside = 2 / math.pi * (angle + total) if odd else total
    return max(0.0, 1 - inside)


def clear_best(scores: Mapping[str, Mapping[str, float]], fewest: int = FEWEST) -> str | None:
    """The row with the highest mean, where it differs from each other one beyond the noise.

    That it differs from every one at a level is a test at that level (Berger 1982), so that no
    correction for their number is due.

    Args:
        scores: by row, each row's by seed.
        fewest: seeds that two rows must share.

    Returns:
        Its name; None where a row cannot be told apart from it, or is alone.
    """
    rows = {row: own for row, own in scores.items() if own}
    if len(rows) < 2:
        return None
    best = max(rows, key=lambda row: mean_and_sd(list(rows[row].values()))[0])
    for row, own in rows.items():
        seeds = sorted(own.keys() & rows[best].keys())
        if row == best:
            continue
        if len(seeds) < fewest:
            return None
        ours, theirs = ([scores[name][seed] for seed in seeds] for name in (best, row))
        if paired_p(ours, theirs) >= LEVEL:
            return None
    return best
