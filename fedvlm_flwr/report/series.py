"""The lines of pictures: a row's scores over rounds, bytes or seconds, in the mean over seeds."""

from collections.abc import Iterator, Sequence

from fedvlm_flwr.report.experiment import Experiment, Pair
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.pictures.lines import Series
from fedvlm_flwr.report.sweep import Key, mean_and_sd


def lines_of(experiment: Experiment, column: Key, pair: Pair, unit: str) -> list[Series]:
    """The line of each row that has the score on a ground.

    Args:
        unit: what it runs over: `round`, `bytes` (in megabytes) or `seconds`.
    """
    lines = []
    for place, row in enumerate(experiment.rows):
        runs = experiment.cell(row, column)
        name = experiment.row_label(row)
        lines += [line] if runs and (line := _line(name, place, runs, pair, unit)) else []
    return lines


def _line(name: str, place: int, runs: Sequence[History], pair: Pair, unit: str) -> Series | None:
    """At each round that all runs have scored their mean, and what they had spent in the mean."""
    columns = [run.scores(*pair) for run in runs]
    rounds = sorted(set(columns[0]).intersection(*columns[1:]))
    if not rounds:
        return None
    means = [mean_and_sd([column[n] for column in columns]) for n in rounds]
    return Series(
        name,
        place,
        [float(n) for n in rounds] if unit == "round" else list(_spent(runs, rounds, unit)),
        [mean for mean, _ in means],
        [deviation for _, deviation in means] if len(runs) > 1 else (),
        [any(run.is_sampled(pair[0], n) for run in runs) for n in rounds],
    )


def _spent(runs: Sequence[History], rounds: Sequence[int], unit: str) -> Iterator[float]:
    sums = [run.spent(unit) for run in runs]
    scale = 1e6 if unit == "bytes" else 1.0
    for number in rounds:
        own = [column[max(n for n in column if n <= number)] for column in sums]
        yield sum(own) / len(own) / scale
