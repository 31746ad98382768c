"""A dataset's answers in a model's tokens, as text."""

from collections.abc import Iterator, Sequence

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.checked import Checked
from fedvlm_flwr.data.federated import Example, examples
from fedvlm_flwr.data.limits import CUT, Limits
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.models.vocabulary import answer_lengths, untrainable, usual_length
from fedvlm_flwr.report.dataset import EXAMPLES

CURE = "raise that, or set dataset.long_answers=cut"


def measure_answers(vlm: VLM, data: Checked, config: Config) -> tuple[list[str], list[str]]:
    """How long the answers are, and which are too long to be trained on.

    Returns:
        Lines on all of them (none of no record), and the lines of the bad ones.

    Raises:
        ModelError: a record has earlier turns, and the model's prompt has no form for them.
    """
    tables = (data.train, data.validation, data.test)
    records = [example for table in tables for example in examples(table, data.root)]
    if not records:
        return [], []
    lengths = answer_lengths(vlm, [example.answer for example in records])
    most = config.eval.max_new_tokens or usual_length(lengths)
    longer = sum(length > most for length in lengths)
    line = (
        f"answers have up to {max(lengths)} tokens of {config.model.name}; a generated one is "
        f"ended after {most} (eval.max_new_tokens), which {longer:,} of them exceed"
    )
    cut, limit = vlm.truncated_questions, config.model.params.max_text_tokens
    long = [example.id for example in untrainable(vlm, records)]
    lines = [line, *_shortened(vlm.truncated_questions - cut, limit)]
    if cuts_answers(config.dataset.params):
        training = examples(data.train, data.root)
        return [*lines, *cut_answers(vlm, training, limit)], []
    return lines, list(_too_long(long, limit))


def cuts_answers(params: object) -> bool:
    """Whether a dataset has answers cut that a model has no room for."""
    return isinstance(params, Limits) and params.long_answers == CUT


def cut_answers(vlm: VLM, training: Sequence[Example], most: int) -> Iterator[str]:
    """How many of the answers that are learnt lose their end; nothing where none does."""
    count = sum(1 for _ in untrainable(vlm, training))
    if count:
        yield (
            f"{count:,} training answers do not fit model.max_text_tokens={most} and are learnt "
            "without their end (dataset.long_answers=cut)"
        )


def _shortened(count: int, most: int) -> Iterator[str]:
    if count:
        yield (
            f"{count:,} questions lose their beginning, or turns before them, to "
            f"model.max_text_tokens={most}"
        )


def _too_long(names: Sequence[str], most: int) -> list[str]:
    limit = f"model.max_text_tokens={most}"
    heading = f"bad: {len(names):,} records: the answer does not fit {limit}; the first {EXAMPLES}:"
    lines = [f"bad: {name}: its answer does not fit {limit}; {CURE}" for name in names]
    return [heading, *lines[:EXAMPLES]] if len(names) > EXAMPLES else lines
