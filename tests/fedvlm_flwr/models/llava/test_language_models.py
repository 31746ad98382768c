"""Every causal language model of transformers in a LLaVA: as by its own forward, or refused."""

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.decoding import Prompt, cached_start, can_share_start, greedy
from fedvlm_flwr.models.llava.language_model import FamilyHead, require_language_model
from tests.llm_tiny import tiny_config

LENGTHS, ALIKE, NEW = (9, 6), 3, 2  # tokens of two rows, how many both begin with, new ones
MOST = 4_000_000  # weights of a tiny one
# Families that are walked past, and why they cannot be made tiny by their keys.
NOT_TINY = {
    "blt": "four networks of bytes and patches, each with keys of its own",
    "cohere_compass_text": "rotary settings by layer type, for which it has no defaults",
    "dbrx": "its own defaults cannot be built: attention settings without rope_theta",
    "dots3_note_text": "numbers of heads by layer",
    "gemma4_assistant": "a drafting head that shares another model's cache",
    "longcat_flash": "two attention blocks a layer, whose sizes are derived",
    "qwen4_exp_text": "its linear attention's sizes have no defaults",
    "reformer": "axial positions that multiply to the sequence length",
    "zamba": "shared layers at fixed places of 76",
}
# How the families leave: names that stand in the sentence.
REFUSED = {
    "gpt2": "no linear layers",
    "opt": "decoder by itself",
    "bloom": "position_ids",
    "mpt": "position_ids",
    "mamba": "position_ids",
    "phi": "head has a bias",
    "gemma3n_text": "token ids",
    "gemma3": "model=hf_vlm",
    "bart": "encoder",
    "minimax": "cache",
}


def tiny(config):
    """The network with weights large enough for answers to depend on their input."""
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(std=0.2)
    return network


@torch.no_grad()
def compared(network):
    """How far our log-probabilities are from the family's, and greedy tokens: ours and its own.

    Its own forward has token ids, one row at a time without padding or cache. Where the rows'
    beginning can be computed once, ours are by that.
    """
    decoder, config = network.get_decoder(), network.config
    head = FamilyHead(config, network.get_output_embeddings(), ())
    table = decoder.get_input_embeddings()
    ids = torch.randint(3, 90, (2, LENGTHS[0]))
    ids[1, :ALIKE] = ids[0, :ALIKE]
    rows = [row[:length] for row, length in zip(ids, LENGTHS, strict=True)]
    hidden = decoder(inputs_embeds=table(ids), use_cache=False).last_hidden_state
    furthest, answers = 0.0, []
    for row, states in zip(rows, hidden, strict=True):
        own = network(input_ids=row[None], use_cache=False).logits[0].float()
        ours = head(states[: len(row)]).float()
        apart = (ours.log_softmax(-1) - own.log_softmax(-1)).abs().max().item()
        furthest, token = max(furthest, apart), own[-1].argmax()
        longer = row
        for _ in range(NEW):
            longer = torch.cat([longer, token[None]])
            token = network(input_ids=longer[None], use_cache=False).logits[0, -1].argmax()
        answers.append(longer[len(row) :].tolist())
    width = LENGTHS[0]
    left = torch.stack([torch.cat([row.new_zeros(width - len(row)), row]) for row in rows])
    mask = torch.arange(width) >= width - torch.tensor(LENGTHS)[:, None]
    ours = greedy(decoder, head, Prompt(table(left), mask), -1, NEW)
    if can_share_start(decoder):
        cache = cached_start(decoder, table(rows[0][None, :ALIKE]), torch.tensor([0, 0]))
        rest = torch.stack(
            [torch.cat([row.new_zeros(width - len(row)), row[ALIKE:]]) for row in rows]
        )
        own = torch.arange(width - ALIKE) >= width - torch.tensor(LENGTHS)[:, None]
        seen = torch.cat([torch.ones(2, ALIKE, dtype=torch.bool), own], dim=1)
        shared = greedy(decoder, head, Prompt(table(rest), seen, cache=cache), -1, NEW)
        assert shared == ours, config.model_type
    return furthest, ours, answers


def test_every_family_computes_as_its_own_forward_does_or_is_refused():
    equal, refused, wrong = [], {}, {}
    assert set(NOT_TINY) < set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    for family in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys() - NOT_TINY.keys()):
        config = tiny_config(family)
        try:
            require_language_model(family, config)
        except ModelError as error:
            refused[family] = str(error)
            continue
        network = tiny(config)
        weights = sum(parameter.numel() for parameter in network.parameters())
        assert weights < MOST, f"{family} is not tiny: {weights}"
        furthest, ours, own = compared(network)
        if furthest < 3e-5 and ours == own:
            equal.append(family)
        else:
            wrong[family] = furthest, ours, own
    assert wrong == {}
    assert len(equal) > 90 and {"llama", "granite", "cohere", "gemma2", "gpt_oss"} <= {*equal}
    for family, reason in REFUSED.items():
        assert reason in refused[family] and f"'{family}'" in refused[family], refused[family]


def test_a_language_model_that_is_quantized_already_is_refused():
    config = tiny_config("llama")
    config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    with pytest.raises(ModelError, match=r"any/llm .* quantized already .*model\.quantize"):
        require_language_model("any/llm", config)
