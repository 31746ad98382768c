"""Whether a model has words for what it shall learn to say."""

from collections.abc import Sequence

from fedvlm_flwr.models.vlm import VLM


def unknown_share(vlm: VLM, answers: Sequence[str]) -> float:
    """The share of the answers' tokens that the tokenizer does not know, in [0, 1].

    What has no token of its own can be neither learnt nor said. Tokenizers that spell any text,
    as those of the large models do, know everything.

    Raises:
        DataError: an answer is longer than the model takes.
    """
    if vlm.unknown_id is None:
        return 0.0
    tokens = [token for answer in answers for token in vlm.encode("?", answer).answer_ids[:-1]]
    return tokens.count(vlm.unknown_id) / len(tokens) if tokens else 0.0
