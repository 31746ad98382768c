"""What a real site tells of its records: counts and scores, none of them over a few records."""

from collections import Counter
from dataclasses import dataclass

from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.errors import DisclosureError
from fedvlm_flwr.evaluation.evaluator import EvaluationResult
from fedvlm_flwr.messages import ScoresReply
from fedvlm_flwr.messages.site import TOO_FEW
from fedvlm_flwr.tasks import task_names


@dataclass(frozen=True)
class SiteRecords:
    """Counts of a site's records, as `SiteReply` has them."""

    examples: tuple[int, ...]
    tasks: str
    training: tuple[int, ...]
    held_out: tuple[int, ...]


def site_records(data: FederatedData, least: int) -> SiteRecords:
    """A site's counts, by task and split.

    Args:
        least: records below which none is told.

    Raises:
        DataError: there is nothing to train on.
        DisclosureError: there are fewer training records than that.
    """
    data.require("training")
    if len(data.train) < least:
        raise DisclosureError(
            f"This site has {len(data.train)} training records, fewer than privacy.min_examples="
            f"{least}; add records, or have the server lower it."
        )
    tables = [Counter(table["task"][:]) for table in (data.train, data.test)]
    tasks = [task for task in sorted(task_names()) if any(task in table for table in tables)]
    training, held_out = (
        tuple(table[task] if not 0 < table[task] < least else TOO_FEW for task in tasks)
        for table in tables
    )
    return SiteRecords((len(data.train),), " ".join(tasks), training, held_out)


def site_scores(result: EvaluationResult, least: int) -> ScoresReply:
    """A site's scores, of the tasks of which it has enough records.

    Args:
        least: records below which a task is not told of.
    """
    counts = {task: count for task, count in result.counts.items() if count >= least}
    scores = {task: result.scores[task] for task in counts}
    squares = {task: values for task, values in result.squares.items() if task in counts}
    return ScoresReply(scores, result.seconds, counts, squares)
