"""What a real site tells of its records: counts and scores, none of them over a few records."""

from collections import Counter
from dataclasses import dataclass
from logging import WARNING

from flwr.common.logger import log

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import FederatedData
from fedvlm_flwr.data.labels import described, foreign_labels
from fedvlm_flwr.errors import DisclosureError, VocabularyError
from fedvlm_flwr.evaluation.evaluator import EvaluationResult
from fedvlm_flwr.messages import ScoresReply
from fedvlm_flwr.messages.site import SIDES, TOO_FEW
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.models.vocabulary import are_too_many, wording
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


@dataclass(frozen=True)
class SiteVocabulary:
    """Counts of what a site's records say, as `SiteReply` has them."""

    words: tuple[int, ...]
    unknown_words: tuple[int, ...]
    foreign_labels: int


def site_vocabulary(config: Config, vlm: VLM, data: FederatedData) -> SiteVocabulary:
    """How many words of a site's records the model has no token for, and odd classes; no word.

    What fewer than `privacy.min_examples` records hold is told as nothing at all, not even as too
    few: whoever chooses a tokenizer or `dataset.labels` that knows all but one word would learn
    from that whether the site has a single record with it. The site's own log has the classes.

    Raises:
        VocabularyError: the model has no words for a large part of the answers, and it is not
            allowed.
    """
    params, least = config.dataset.params, config.privacy.min_examples
    sample = wording(vlm, data)
    if are_too_many(sample.answers.share, params):
        raise VocabularyError(
            f"{config.model.name} has no token for {sample.answers.share:.0%} of the words in the "
            f"training answers ({', '.join(sample.answers.unknown)}); choose a model that spells "
            "any text, or set dataset.allow_unknown_words=true."
        )
    sides = [getattr(sample, side) for side in SIDES]
    other = foreign_labels(data, params)
    if other:
        log(WARNING, "This site has %s.", described(other))
    return SiteVocabulary(
        words=tuple(words.count for words in sides),
        unknown_words=tuple(
            words.unknown.total() if words.texts >= least else 0 for words in sides
        ),
        foreign_labels=other.total() if other.total() >= least else 0,
    )


def site_scores(result: EvaluationResult, least: int) -> ScoresReply:
    """A site's scores, of the tasks of which it has enough records.

    Args:
        least: records below which a task is not told of.
    """
    counts = {task: count for task, count in result.counts.items() if count >= least}
    scores = {task: result.scores[task] for task in counts}
    squares = {task: values for task, values in result.squares.items() if task in counts}
    return ScoresReply(scores, result.seconds, counts, squares)
