"""Gradient checkpointing changes what is kept and nothing else."""

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, LlamaModel

from fedvlm_flwr.models.checkpointing import checkpointed
from fedvlm_flwr.models.dropout import replace_dropout
from fedvlm_flwr.models.lora_linear import replace_lora
from fedvlm_flwr.planning.live_bytes import SavedTensors


def network() -> LlamaModel:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "vocab_size": 20}
    torch.manual_seed(0)
    llm = LlamaModel(LlamaConfig(**sizes, num_attention_heads=2))
    config = LoraConfig(r=2, lora_dropout=0.3, target_modules=["q_proj", "up_proj"])
    inject_adapter_in_model(config, llm)
    for name, parameter in llm.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_B" in name:
            torch.nn.init.ones_(parameter)
    return llm.train()


def gradients(llm, on):
    activations = SavedTensors(llm.parameters())
    torch.manual_seed(1)
    with checkpointed(llm, on), saved_tensors_hooks(activations.pack, lambda tensor: tensor):
        llm(
            torch.arange(12).view(2, 6), use_cache=False
        ).last_hidden_state.square().sum().backward()
    found = {n: p.grad.clone() for n, p in llm.named_parameters() if p.requires_grad}
    llm.zero_grad()
    return found, activations.bytes


@pytest.mark.parametrize("as_one", [False, True])
def test_gradients_are_the_same_dropout_included_and_less_is_kept(as_one):
    llm = network()
    if as_one:
        replace_dropout(llm)
        replace_lora(llm)
    plain, activations = gradients(llm, False)
    again, less = gradients(llm, True)
    assert less < activations / 3
    for name, values in plain.items():
        torch.testing.assert_close(again[name], values, rtol=0, atol=0)


def test_afterwards_the_network_is_as_before():
    llm = network()
    before = gradients(llm, False)[1]
    gradients(llm, True)
    assert gradients(llm, False)[1] == before
    assert not llm.get_input_embeddings()(torch.arange(3)).requires_grad
