"""How far a score can be trusted, and how unequal it is over clients."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev

import numpy as np

from fedvlm_flwr.messages.scores import Scores

LOCAL = "local_"  # begins the name of a metric that is over a client's own share of the test set
TAIL = 2.5  # per cent of the resamples that lie beyond each end of an interval
AT_ONCE = 1_000_000  # numbers drawn at a time: some ten megabytes, whatever the test set's size
UNFINISHED = "unfinished"  # right answers that are longer than a generated one may be, their share
LESS_IS_BETTER = frozenset({"unparseable", UNFINISHED})


def intervals(
    values: Mapping[str, Sequence[float]], resamples: int, draw: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """The 95 % bootstrap percentile interval of the mean of each metric (Efron 1979).

    Args:
        values: by metric one number an example, in the same order of examples, one at least.
        resamples: how many times as many examples are drawn with replacement; the same draws serve
            all metrics.

    Returns:
        The 2.5th and the 97.5th percentile of the resamples' means, by metric.
    """
    table = np.array(list(values.values()), dtype=np.float64)  # [metrics, examples]
    first = table[:, :1]
    apart = table - first  # so that equal values give that value, and no rounding beside it
    count = table.shape[1]
    rows = max(1, AT_ONCE // count)
    means = [
        _means(apart, draw.integers(0, count, (min(rows, resamples - start), count), np.int32))
        for start in range(0, resamples, rows)
    ]
    ends = np.percentile(np.concatenate(means, axis=1), [TAIL, 100 - TAIL], axis=1)
    lows, highs = (ends + first.T).tolist()
    return dict(zip(values, zip(lows, highs, strict=True), strict=True))


def _means(table: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """Each resample's mean of each row.

    Args:
        table: [metrics, examples].
        picks: the examples of each resample, [resamples, examples].
    """
    return np.stack([row[picks].mean(axis=1) for row in table])  # [metrics, resamples]


def share_means(
    values: Mapping[str, Sequence[float]], clients: Sequence[int]
) -> dict[int, dict[str, float]]:
    """Each client's `local_<metric>`: the mean over the examples that are its own.

    The numbers are those of the whole test set's examples, so that a metric with corpus weights
    (CIDEr) keeps the weights of the whole test set.

    Args:
        values: by metric one number an example.
        clients: whose each example is.
    """
    rows: dict[int, list[int]] = {}
    for row, client in enumerate(clients):
        rows.setdefault(client, []).append(row)
    return {
        client: {
            f"{LOCAL}{name}": fmean([column[i] for i in own]) for name, column in values.items()
        }
        for client, own in sorted(rows.items())
    }


def over_clients(clients: Iterable[Scores]) -> Scores:
    """Mean, worst and deviation of each task's `local_` metrics, over the clients that have them.

    Args:
        clients: each client's metrics by task; those that are not `local_` are not looked at.

    Returns:
        By task `local_<metric>_mean` (each client counts once, whatever the size of its share),
        `_worst` (the least; the largest of what should be small) and `_std` (the population
        standard deviation: these clients are all there are), and `local_clients`, how many have
        examples of the task.
    """
    table: dict[str, dict[str, list[float]]] = {}
    for scores in clients:
        for task, metrics in scores.items():
            for name, value in metrics.items():
                if name.startswith(LOCAL):
                    table.setdefault(task, {}).setdefault(name, []).append(value)
    result: Scores = {}
    for task, columns in table.items():
        result[task] = {f"{LOCAL}clients": float(max(map(len, columns.values())))}
        for name, values in columns.items():
            worst = max if name.removeprefix(LOCAL) in LESS_IS_BETTER else min
            result[task] |= {
                f"{name}_mean": fmean(values),
                f"{name}_worst": worst(values),
                f"{name}_std": pstdev(values),
            }
    return result
