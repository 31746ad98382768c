"""The scores of several real sites, each on records of its own, as those of one set of records."""

from collections.abc import Mapping
from math import sqrt

from fedvlm_flwr.evaluation.statistics import LOCAL, over_clients
from fedvlm_flwr.messages.scores import Scores, ScoresReply

NORMAL = 1.959964  # standard deviations on either side that hold 95 % of a normal distribution
ENDS = ("_low", "_high")


def pooled_scores(sites: Mapping[int, ScoresReply]) -> Scores:
    """Each metric over the records of all sites, how it differs over them, and the worst of them.

    A metric is the mean of the sites', weighted by their records: for one that is a mean over
    records that is its value over all of them. Such a one has a 95 % interval beside it
    (`<metric>_low`, `<metric>_high`), by the normal approximation from the sites' means of squares.
    `local_<metric>_mean`, `_worst` and `_std` are over the sites, each counted once.
    """
    result: Scores = {}
    for task in sorted({task for reply in sites.values() for task in reply.counts}):
        own = [reply for _, reply in sorted(sites.items()) if task in reply.counts]
        total = sum(reply.counts[task] for reply in own)
        shared = set.intersection(*(set(reply.scores[task]) for reply in own))
        plain = [name for name in own[0].scores[task] if name in shared]
        values: dict[str, float] = {}
        for name in plain:
            if not name.endswith(ENDS):
                values[name] = sum(r.counts[task] * r.scores[task][name] for r in own) / total
                values |= _interval(task, name, own, values[name], total)
        result[task] = values | {"examples": float(total)}
    local: list[Scores] = [
        {
            task: {f"{LOCAL}{k}": v for k, v in metrics.items() if not k.endswith(ENDS)}
            for task, metrics in reply.scores.items()
            if task in reply.counts
        }
        for _, reply in sorted(sites.items())
    ]
    for task, metrics in over_clients(local).items():
        result[task] |= metrics
    return result


def _interval(
    task: str, name: str, own: list[ScoresReply], mean: float, total: int
) -> dict[str, float]:
    """Both ends of a metric's interval, where every site sends what it takes."""
    squares = [reply.squares.get(task, {}).get(name) for reply in own]
    if any(square is None for square in squares):
        return {}
    second = sum(r.counts[task] * (s or 0.0) for r, s in zip(own, squares, strict=True)) / total
    reach = NORMAL * sqrt(max(0.0, second - mean**2) / total)
    return {f"{name}_low": mean - reach, f"{name}_high": mean + reach}
