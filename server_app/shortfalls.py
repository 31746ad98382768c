"""What a model cannot learn, or say whole, of the data that it is given: told before the rounds."""

from collections.abc import Iterator

import pyarrow.compute as pc
from datasets import Dataset

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import FederatedData, examples
from fedvlm_flwr.data.limits import Limits
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.models.experts import experts_without_adapters
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.models.vocabulary import unknown_words
from fedvlm_flwr.report.tokens import cut_answers, cuts_answers

SAMPLE = 500  # training records that are looked at
UNKNOWN = 0.05  # a larger share of their words without a token is worth a warning ...
TOO_MANY = 0.2  # ... and of the answers', an end
NAMED = 10  # of those words


def shortfalls(config: Config, vlm: VLM, data: FederatedData | None) -> Iterator[str]:
    """Warnings of experts without adapters, of answers that are cut, of words without a token.

    Args:
        data: what is at hand here; None: real sites hold all of it.

    Raises:
        ConfigError: the model has no words for a large part of the answers, and it is not allowed.
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
        ConfigError: see `shortfalls`.
    """
    if cuts_answers(config.dataset.params):
        training = examples(data.train, data.root, None, data.box_decimals)
        for line in cut_answers(vlm, training, config.model.params.max_text_tokens):
            yield f"{line}."
    rows = range(0, len(data.train), max(1, len(data.train) // SAMPLE))
    sample = examples(data.train, data.root, rows, data.box_decimals)
    answers = unknown_words(vlm, (example.answer for example in sample))
    questions = unknown_words(vlm, (example.question for example in sample))
    if max(answers.share, questions.share) <= UNKNOWN:
        return
    most = (answers.unknown + questions.unknown).most_common(NAMED)
    message = (
        f"{config.model.name} has no token for {answers.share:.0%} of the words in the training "
        f"answers and {questions.share:.0%} of those in the questions (most often: "
        f"{', '.join(word for word, _ in most)}) and cannot learn them; choose a model that spells "
        "any text (docs/models.md)"
    )
    params = config.dataset.params
    allowed = not isinstance(params, Limits) or params.allow_unknown_words
    if answers.share > TOO_MANY and not allowed:
        raise ConfigError(f"{message}, or set dataset.allow_unknown_words=true to train it so.")
    yield f"{message}."


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
