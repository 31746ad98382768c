"""Scores of clients that each have a model of their own."""

from collections.abc import Sequence

from fedvlm_flwr.evaluation.statistics import LOCAL, over_clients
from fedvlm_flwr.messages.scores import Scores


def mean_scores(clients: Sequence[Scores]) -> Scores:
    """The mean over clients of every metric that all of them report.

    Of the metrics on the clients' own shares, which only those report that have examples of the
    task, it is mean, worst and standard deviation: see `over_clients`. The mean of the clients'
    interval ends is an interval at least as wide as the mean's own, where resamples are about
    normal: a mean's deviation is at most the mean of the deviations.

    Args:
        clients: each client's metrics by task, one client at least.
    """
    result: Scores = {}
    for task in clients[0]:
        for key in clients[0][task]:
            values = [scores[task][key] for scores in clients if key in scores.get(task, {})]
            if len(values) == len(clients) and not key.startswith(LOCAL):
                result.setdefault(task, {})[key] = sum(values) / len(values)
    for task, metrics in over_clients(clients).items():
        result.setdefault(task, {}).update(metrics)
    return result
