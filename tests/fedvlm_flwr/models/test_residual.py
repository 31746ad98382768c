"""A frozen low-rank term beside the base: as if it were in the weight, and gone without a trace."""

import importlib.util

import numpy as np
import pytest
import torch

from fedvlm_flwr.adapters import pairs_in
from fedvlm_flwr.config import Lora, Stage
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import load_model
from fedvlm_flwr.models.parts import adapted_layers, add_lora, set_trainable
from fedvlm_flwr.models.residual import Residual
from tests import choices

LORA = Lora(r=4, alpha=8, dropout=0.0, targets=None)
LAYER = "llm.layers.1.mlp.down_proj"
QUESTIONS = ["is there a red shape?", "describe the image."]


def factors(model, rank=3):
    """Random ones for every other adapted layer, by the sizes that it says it has."""
    draw = np.random.default_rng(0)
    arrays, layers = {}, adapted_layers(model)
    for name in sorted({*list(layers)[::2], LAYER}):
        layer = layers[name]
        a = draw.normal(size=(rank, layer.in_features)) / 10
        arrays[f"{name}.lora_A"] = a.astype(np.float32)
        b = draw.normal(size=(layer.out_features, rank)) / 10
        arrays[f"{name}.lora_B"] = b.astype(np.float32)
    return arrays


def trained(model, lora=LORA):
    add_lora(model, lora, seed=0)
    parameters = set_trainable(model, Stage({"llm": "lora"}))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.endswith("lora_B"):
                parameter.normal_(std=0.1, generator=generator)
    return parameters


def loss_and_gradients(model, pictures, parameters):
    for parameter in parameters.values():
        parameter.grad = None
    rows = [model.encode(question, "a blue rectangle") for question in QUESTIONS]
    loss = model.loss(model.features(pictures[:2]), rows)
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in parameters.items()}


@pytest.mark.parametrize("lora", [LORA, Lora(4, 8, 0.0, None, use_rslora=True)])
def test_it_is_as_if_it_were_in_the_weight_and_gone_when_it_is_not_placed(model, pictures, lora):
    parameters = trained(model, lora)
    plain, plain_gradients = loss_and_gradients(model, pictures, parameters)
    term, residual = factors(model), Residual(model)
    residual.place(term)
    residual.place(term)  # in the place of the first, not beside it
    beside, gradients = loss_and_gradients(model, pictures, parameters)
    assert abs(beside - plain) > 1e-2
    assert not any(p.requires_grad for n, p in model.module.named_parameters() if "lora_" not in n)
    residual.place({})
    again, again_gradients = loss_and_gradients(model, pictures, parameters)
    assert again == plain
    assert all(torch.equal(again_gradients[n], each) for n, each in plain_gradients.items())
    scale = 8 / 4**0.5 if lora.use_rslora else 2
    for name, pair in pairs_in(term).items():
        weight = adapted_layers(model)[name].base_layer.weight
        weight.data += scale * torch.from_numpy(pair.b @ pair.a)
    inside, inside_gradients = loss_and_gradients(model, pictures, parameters)
    assert beside == pytest.approx(inside, abs=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, inside_gradients[name], atol=1e-4, rtol=1e-3)


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
def test_it_lies_beside_a_base_of_4_bits(cheap, cheap_once, pictures, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(cheap_once.parents[1]))
    params = {**cheap, "quantize": "4bit", "dtype": "bfloat16"}
    model = load_model(choices.model("tiny_llava", "llava", params), torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"init=pissa starts from the base's weights.*quantised"):
        add_lora(model, Lora(4, 8, 0.0, None, init="pissa"), seed=0)
    parameters = trained(model)
    name, layer = next(iter(adapted_layers(model).items()))
    x = torch.randn(5, layer.in_features, dtype=torch.bfloat16)
    before = layer(x)
    term, residual = factors(model), Residual(model)
    residual.place(term)
    after = layer(x)
    assert after.dtype == before.dtype == torch.bfloat16
    pair = pairs_in(term)[name]
    expected = 2 * x.float() @ torch.from_numpy((pair.b @ pair.a).T)
    torch.testing.assert_close((after - before).float(), expected, atol=0.05, rtol=0.05)
    _, gradients = loss_and_gradients(model, pictures, parameters)
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    residual.place({})
    assert torch.equal(layer(x), before)


def test_a_term_that_does_not_fit_is_refused_by_the_layer(model):
    trained(model)
    residual, term = Residual(model), factors(model)
    for name, change, words in (
        (LAYER, lambda a: a[:, 1:], r"does not fit a layer of \d+ inputs"),
        (LAYER, lambda a: a[1:], r"does not fit a layer of \d+ inputs"),
        ("llm.layers.9.mlp.up_proj", lambda a: a, "no adapter at 'llm.layers.9.mlp.up_proj'"),
    ):
        odd = {f"{name}.lora_A": change(term[f"{LAYER}.lora_A"])}
        odd[f"{name}.lora_B"] = term[f"{LAYER}.lora_B"]
        with pytest.raises(ModelError, match=words):
            residual.place(odd)
