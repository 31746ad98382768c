"""Rows one behind the other: the same numbers and gradients as padded ones, of less work."""

import pytest
import torch

from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models import packing
from fedvlm_flwr.models.checkpointing import checkpointed
from fedvlm_flwr.models.packing import answer_states, can_be_packed
from fedvlm_flwr.models.showo.mask import visible
from tests.llm_tiny import tiny_decoder

LENGTHS, ANSWERS, LONGEST = [9, 6, 7], [3, 1, 2], 9
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3_text", "phi", "phi3", "olmo2", "cohere")
FAMILIES += ("mixtral", "diffllama", "deepseek_v3")  # experts, two attentions a layer, wide keys


def embeddings():
    torch.manual_seed(0)
    return torch.randn(3, LONGEST, 32, requires_grad=True)


def trained(llm, mask=None):
    """What is read, and gradients: of adapters, and of the embeddings that are no padding."""
    torch.manual_seed(1)
    embeds = embeddings()
    read = answer_states(llm, embeds, LENGTHS, ANSWERS, mask)
    (read * torch.linspace(-1, 1, read.numel()).view_as(read).sin()).sum().backward()
    found = {n: p.grad for n, p in llm.named_parameters() if p.grad is not None}
    llm.zero_grad()
    own = [row[:length] for row, length in zip(embeds.grad, LENGTHS, strict=True)]
    return read.detach(), {**found, "embeds": torch.cat(own)}


def both(llm, monkeypatch, mask=None):
    """The same packed and padded."""
    assert can_be_packed(llm, LONGEST)
    packed = trained(llm, mask)
    with monkeypatch.context() as patch:
        patch.setattr(packing, "can_be_packed", lambda *_: False)
        return packed, trained(llm, mask)


def require_equal(packed, padded):
    torch.testing.assert_close(packed[0], padded[0], rtol=0, atol=1e-5)
    assert packed[1].keys() == padded[1].keys()
    for name, values in padded[1].items():
        scale = values.abs().max().clamp(min=1e-6)
        torch.testing.assert_close(packed[1][name] / scale, values / scale, rtol=0, atol=1e-4)


def rows_of(module):
    """How many places a module is given, call after call."""
    rows = []
    module.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[:-1].numel()))
    return rows


@pytest.mark.parametrize("family", FAMILIES)
def test_states_and_gradients_are_those_of_padded_rows(family, monkeypatch):
    require_equal(*both(tiny_decoder(family, dropout=0.0), monkeypatch))


@pytest.mark.parametrize("prefixes", [[4, 4, 4], [2, 5, 3]])
def test_what_a_mask_shows_is_seen(prefixes, monkeypatch):
    llm = tiny_decoder("phi", dropout=0.0)
    mask = visible([0] * len(prefixes), prefixes, LONGEST, torch.device("cpu"))
    packed, padded = both(llm, monkeypatch, mask.expand(3, -1, -1, -1))
    require_equal(packed, padded)
    assert not torch.allclose(packed[0], trained(llm)[0], atol=1e-3)


def test_nothing_is_computed_for_padding_and_at_the_end_for_what_is_read_only(monkeypatch):
    llm, heads = tiny_decoder("llama"), []
    sdpa = packing.ALL_ATTENTION_FUNCTIONS["sdpa"]

    def attend(module, query, key, *more, **kwargs):
        heads.append((tuple(query.shape[::2]), tuple(key.shape[::2])))
        return sdpa(module, query, key, *more, **kwargs)

    monkeypatch.setitem(packing.ALL_ATTENTION_FUNCTIONS, "sdpa", attend)
    first, last = llm.layers
    rows = [rows_of(m) for m in (first.mlp.up_proj, last.mlp.up_proj)]
    trained(llm)
    assert rows == [[sum(LENGTHS)], [sum(ANSWERS)]]
    assert heads == [((3, LONGEST), (3, LONGEST)), ((3, max(ANSWERS)), (3, LONGEST))]


def test_what_padding_holds_is_never_seen():
    llm = tiny_decoder("llama", dropout=0.0)
    embeds = embeddings()
    read = answer_states(llm, embeds, LENGTHS, ANSWERS)
    other = embeds.detach().clone()
    for row, length in zip(other, LENGTHS, strict=True):
        row[length:] = float("nan")
    assert answer_states(llm, other, LENGTHS, ANSWERS).equal(read)


def test_half_precision_is_packed_too(monkeypatch):
    llm = tiny_decoder("llama", dropout=0.0)
    with torch.autocast("cpu", torch.bfloat16):
        packed, padded = both(llm, monkeypatch)
    torch.testing.assert_close(packed[0], padded[0], rtol=0, atol=0.1)


def eager(llm):
    llm.set_attn_implementation("eager")


def narrow(llm):
    llm.config.sliding_window = LONGEST - 1


def chunked(llm):
    llm.config.layer_types = ["full_attention", "chunked_attention"]


@pytest.mark.parametrize("change", [eager, narrow, chunked])
def test_other_attention_stays_padded(change):
    llm = tiny_decoder("mistral", dropout=0.0)
    change(llm)
    assert not can_be_packed(llm, LONGEST)


@pytest.mark.parametrize("family", ["gpt_neox", "opt", "inkling_text"])
def test_other_families_stay_padded(family):
    llm = tiny_decoder(family, dropout=0.0)
    assert not can_be_packed(llm, LONGEST)
    assert trained(llm)[0].shape == (sum(ANSWERS), 32)


def test_layers_that_are_computed_again_stay_padded():
    llm = tiny_decoder("llama", dropout=0.0)
    read, gradients = trained(llm)
    with checkpointed(llm, True):
        assert not can_be_packed(llm, LONGEST)
        require_equal((read, gradients), trained(llm))


def test_attention_beside_the_interface_is_refused_and_all_is_as_before():
    llm = tiny_decoder("llama", dropout=0.0)
    before = trained(llm)
    attention = llm.layers[0].self_attn
    attention.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(ModelError, match=r"LlamaModel .* set model\.attention=eager"):
        trained(llm)
    del attention.forward
    require_equal(before, trained(llm))


def test_an_error_inside_leaves_the_attention_as_it_was():
    llm = tiny_decoder("llama", dropout=0.0)

    def fail(*_):
        raise RuntimeError("no memory")

    llm.layers[1].mlp.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="no memory"):
        trained(llm)
    assert llm.config._attn_implementation == "sdpa"
