"""A dataset's answers in a model's tokens, as text."""

from collections.abc import Sequence

from fedvlm_flwr.config import Config
from fedvlm_flwr.data.checked import Checked
from fedvlm_flwr.data.federated import examples
from fedvlm_flwr.models.vlm import VLM
from fedvlm_flwr.models.vocabulary import answer_lengths, untrainable, usual_length
from fedvlm_flwr.report.dataset import EXAMPLES


def measure_answers(vlm: VLM, data: Checked, config: Config) -> tuple[list[str], list[str]]:
    """How long the answers are, and which are too long to be trained on.

    Returns:
        A line on all of them (none of no record), and the lines of the bad ones.
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
    long = [example.id for example in untrainable(vlm, records)]
    return [line], list(_too_long(long, config.model.params.max_text_tokens))


def _too_long(names: Sequence[str], most: int) -> list[str]:
    limit = f"model.max_text_tokens={most}"
    heading = f"bad: {len(names):,} records: the answer does not fit {limit}; the first {EXAMPLES}:"
    lines = [f"bad: {name}: its answer does not fit {limit}; raise that" for name in names]
    return [heading, *lines[:EXAMPLES]] if len(names) > EXAMPLES else lines
