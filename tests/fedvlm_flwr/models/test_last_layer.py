"""The last layer where it is read: the same numbers and gradients, of less work."""

import pytest
import torch

from fedvlm_flwr.models.checkpointing import checkpointed
from fedvlm_flwr.models.dropout import Dropout
from fedvlm_flwr.models.last_layer import read_at
from tests.llm_tiny import tiny_decoder

PLACES = torch.tensor([3, 4, 10])  # of two rows of six


def states(llm):
    """Hidden states [places, width] of all places."""
    ids = torch.arange(12).view(2, 6)
    return llm(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)


def trained(llm, places=None):
    """What is read, its gradients, and the next number that would be drawn."""
    torch.manual_seed(1)
    if places is None:
        read = states(llm)[PLACES]
    else:
        with read_at(llm, places):
            read = states(llm)[PLACES]
    (read * torch.linspace(-1, 1, read.numel()).view_as(read).sin()).sum().backward()
    found = {n: p.grad for n, p in llm.named_parameters() if p.grad is not None}
    llm.zero_grad()
    return read.detach(), found, torch.rand(())


def rows_of(module):
    """How many rows a module is given, call after call."""
    rows = []
    module.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[:-1].numel()))
    return rows


@pytest.mark.parametrize("family", ["llama", "phi", "gemma2", "phi3", "cohere", "qwen3"])
def test_what_is_read_and_its_gradients_are_those_of_a_whole_layer(family):
    llm = tiny_decoder(family, dropout=0.0)
    if family == "qwen3":  # its gradients of up to 100 round by more than the bound
        llm = llm.double()
    mlp = llm.layers[-1].mlp
    rows = rows_of(next(m for m in mlp.modules() if isinstance(m, torch.nn.Linear)))
    whole, gradients, _ = trained(llm)
    read, others, _ = trained(llm, PLACES)
    assert rows == [12, 3]
    torch.testing.assert_close(read, whole, rtol=0, atol=1e-5)
    assert gradients.keys() == others.keys()
    for name, values in gradients.items():
        torch.testing.assert_close(others[name], values, rtol=1e-4, atol=1e-4, msg=name)


def test_of_what_is_not_read_nothing_is_dropped():
    llm = tiny_decoder("llama")
    asked = []
    for module in llm.layers[-1].modules():
        if isinstance(module, Dropout):
            module.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[0].numel()))
    one, again = trained(llm, PLACES), trained(llm, PLACES)
    wide, narrow = 48, 32
    width_of_each = [narrow, 4 * narrow, 4 * narrow, narrow, narrow, narrow, wide]
    assert asked[:7] == [3 * width for width in width_of_each]  # keys and values of all 12
    assert one[0].equal(again[0]) and one[2] == again[2]


def test_nothing_is_computed_where_nothing_is_read():
    llm = tiny_decoder("llama").eval()
    rows = [rows_of(layer.mlp.gate_proj) for layer in (llm.layers[0], llm.layers[-1])]
    with read_at(llm, torch.empty(0, dtype=torch.long)):
        states(llm)
    assert rows == [[12], [0]]


@pytest.mark.parametrize("family", ["mixtral", "inkling_text", "gpt_neox"])
def test_of_a_layer_that_is_made_otherwise_what_is_read_is_the_same_too(family):
    llm = tiny_decoder(family, dropout=0.0).eval()
    whole = states(llm)[PLACES]
    with read_at(llm, PLACES):
        torch.testing.assert_close(states(llm)[PLACES], whole, rtol=0, atol=1e-5)


def test_a_layer_that_is_computed_again_for_its_gradient_is_whole():
    llm = tiny_decoder("llama")
    whole, gradients, drawn = trained(llm)
    with checkpointed(llm, True):
        read, others, then = trained(llm, PLACES)
    assert then == drawn and read.equal(whole)
    assert all(others[name].equal(values) for name, values in gradients.items())


def test_afterwards_all_is_computed_again_also_where_it_was_broken_off():
    llm = tiny_decoder("llama")
    before = trained(llm)
    with pytest.raises(RuntimeError, match="the disk"), read_at(llm, PLACES):
        raise RuntimeError("the disk")
    after = trained(llm)
    assert after[0].equal(before[0]) and after[2] == before[2]
