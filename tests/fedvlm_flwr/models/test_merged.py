"""Adapters in their layers while a model answers."""

import pytest
import torch

from fedvlm_flwr.config import Lora, Stage
from fedvlm_flwr.models.merged import merged_adapters
from fedvlm_flwr.models.parts import adapted_layers, add_lora, set_trainable

LORA = Lora(r=4, alpha=8, dropout=0.1, targets=None)


def trained(model, lora=LORA):
    """Layers with an adapter that changes what they compute, and an input for one of them."""
    add_lora(model, lora, seed=0)
    for name, parameter in set_trainable(model, Stage({"llm": "lora"})).items():
        if name.endswith("lora_B"):
            parameter.data.normal_(std=0.1)
    model.module.eval()
    layer = next(iter(adapted_layers(model).values()))
    return layer, torch.randn(3, layer.in_features)


def states(model):
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def test_layers_compute_the_same_and_weights_are_put_back_to_the_bit(model):
    layer, inputs = trained(model)
    before, apart = states(model), layer(inputs)
    assert (apart - layer.get_base_layer()(inputs)).abs().max() > 0.01
    with torch.inference_mode(), merged_adapters(model):
        torch.testing.assert_close(layer(inputs), apart, atol=1e-5, rtol=1e-5)
        assert torch.equal(layer(inputs), layer.get_base_layer()(inputs)), "one product, not three"
    with pytest.raises(KeyError), merged_adapters(model):
        raise KeyError("in the middle")
    after = states(model)
    assert before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before)
    assert torch.equal(layer(inputs), apart)
    layer(inputs).sum().backward()
    assert all(p.grad is not None for n, p in layer.named_parameters() if "lora_" in n)


@pytest.mark.parametrize("case", ["bfloat16", "a variant", "large"])
def test_what_would_be_rounded_away_or_lie_twice_in_memory_is_left(model, case, monkeypatch):
    if case == "bfloat16":
        model.module.to(torch.bfloat16)
    if case == "large":
        monkeypatch.setattr("fedvlm_flwr.models.merged.MOST", 1000)
    layer, _ = trained(model, Lora(4, 8, 0.0, None, use_dora=case == "a variant"))
    weight = layer.get_base_layer().weight.clone()
    with merged_adapters(model):
        assert torch.equal(layer.get_base_layer().weight, weight) and not layer.merged
