"""What a model cannot learn, or say whole, of the data that it is given: told before the rounds."""

from collections.abc import Iterator

import pyarrow.compute as pc
from datasets import Dataset

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import FederatedData, examples
from fedvlm_flwr.errors import VocabularyError
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.messages import SiteReply
from fedvlm_flwr.messages.site import SIDES
from fedvlm_flwr.models.experts import experts_without_adapters
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.models.vocabulary import are_too_many, shortage, wording
from fedvlm_flwr.report.tokens import cut_answers, cuts_answers

NAMED = 10  # of those words


def shortfalls(config: Config, vlm: VLM, data: FederatedData | None) -> Iterator[str]:
    """Warnings of experts without adapters, of answers that are cut, of words without a token.

    Args:
        data: what is at hand here; None: real sites hold all of it.

    Raises:
        VocabularyError: the model has no words for a large part of the answers, and that is not
            allowed.
        ModelError: records have earlier turns, and the model's prompt has no form for them.
    """
    if message := experts_without_adapters(vlm, config.tuning):
        yield message
    if data is None:
        return
    for table in (data.train, data.test):
        if longest := longest_talk(table):
            (one,) = examples(table, data.root, longest)
            vlm.encode(one.question, None, one.history, pictures=len(one.images))
    if len(data.train):
        yield from of_training(config, vlm, data)


def of_training(config: Config, vlm: VLM, data: FederatedData) -> Iterator[str]:
    """Warnings of training answers that are cut, and of words without a token.

    Raises:
        VocabularyError: see `shortfalls`.
    """
    if cuts_answers(config.dataset.params):
        training = examples(data.train, data.root, None, data.box_decimals)
        for line in cut_answers(vlm, training, config.model.params.max_text_tokens):
            yield f"{line}."
    words = wording(vlm, data)
    most = (words.answers.unknown + words.questions.unknown).most_common(NAMED)
    message = shortage(
        config.model.name,
        words.answers.share,
        words.questions.share,
        f" (most often: {', '.join(word for word, _ in most)})",
    )
    if are_too_many(words.answers.share, config.dataset.params):
        raise VocabularyError(f"{message}, or set dataset.allow_unknown_words=true to train it so.")
    if message:
        yield f"{message}."


def of_a_site(config: Config, site: SiteReply) -> str:
    """What of a site's words the model has no token for, by what the site tells; empty: little."""
    if len(site.words) != len(SIDES) or len(site.unknown_words) != len(SIDES):
        return ""
    answers, questions = (
        unknown / max(1, count)
        for unknown, count in zip(site.unknown_words, site.words, strict=True)
    )
    message = shortage(config.model.name, answers, questions)
    return f"The site '{site.site}': {message}." if message else ""


def longest_talk(table: Dataset) -> list[int]:
    """The row of the longest conversation, in a list; of no row, none."""
    turns = table.with_format("arrow")["conversations"][:]
    lengths = pc.list_value_length(turns).to_pylist()
    return [lengths.index(max(lengths))] if lengths else []


def unfinished_answers(evaluator: Evaluator) -> Iterator[str]:
    """A warning of right answers that can never be given whole."""
    if evaluator.longer:
        yield (
            f"{evaluator.longer:,} right answers of the scored records are longer than the "
            f"{evaluator.most_tokens} tokens after which a generated one is ended; raise "
            "eval.max_new_tokens to have them whole."
        )
