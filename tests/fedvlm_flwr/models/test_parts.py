"""What is trained, in which precision, and where adapters sit."""

import pytest
import torch

from fedvlm_flwr.config import Lora, Stage
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models.parts import add_lora, read, set_trainable, train_in_float32, write

LORA = Lora(r=4, alpha=8, dropout=0.0, targets=None)
QUESTIONS = ["is there a red shape?", "describe the image."]


def batch(model, pictures):
    rows = [model.encode(question, "a blue rectangle") for question in QUESTIONS]
    return model.features(pictures[:2]), rows


def test_full_training_of_the_llm_leaves_embeddings_and_head_alone(model):
    trained = set_trainable(model, Stage({"llm": "full"}))
    rows = len(model.tokenizer)
    assert trained
    assert not [name for name, p in trained.items() if rows in p.shape or "embed" in name]
    asked = {name for name, p in model.module.named_parameters() if p.requires_grad}
    assert {name.replace("model.language_model.", "llm.") for name in asked} == set(trained)


def test_adapters_sit_where_the_configuration_says(model):
    add_lora(model, Lora(r=4, alpha=8, dropout=0.0, targets=["q_proj", "v_proj"]), seed=0)
    names = set_trainable(model, Stage({"llm": "lora"}))
    assert {name.split(".")[-2] for name in names} == {"q_proj", "v_proj"}
    assert len(names) == 2 * 2 * 2  # layers, layers' modules, A and B


def test_an_unknown_target_is_refused_with_the_known_ones(model):
    with pytest.raises(ConfigError, match=r"'qkv'.*q_proj"):
        add_lora(model, Lora(r=4, alpha=8, dropout=0.0, targets=["qkv"]), seed=0)


def test_a_part_that_the_model_lacks_is_refused(model):
    model.parts = {"vision": "model.vision_tower", "llm": "model.language_model"}
    with pytest.raises(ModelError, match="'connector'"):
        set_trainable(model, Stage({"connector": "full"}))


@pytest.mark.parametrize("modes", [{"connector": "full", "llm": "lora"}, {"llm": "full"}])
def test_a_bfloat16_base_trains_in_float32_and_stays_near_the_float32_one(model, pictures, modes):
    exact = model.loss(*batch(model, pictures)).item()
    model.module.to(torch.bfloat16)
    if "lora" in modes.values():
        add_lora(model, LORA, seed=0)
    for part in (part for part, mode in modes.items() if mode == "full"):
        train_in_float32(model, part)
    trained = set_trainable(model, Stage(modes))
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}
    frozen = {p.dtype for p in model.module.parameters() if not p.requires_grad}
    assert torch.bfloat16 in frozen
    loss = model.loss(*batch(model, pictures))
    assert loss.item() == pytest.approx(exact, rel=0.05)
    loss.backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in trained.values())
    tiny = {name: values + 1e-6 for name, values in read(trained).items()}
    write(trained, tiny)
    back = read(trained)
    assert all((back[name] == tiny[name]).all() for name in tiny), "small updates are lost"
    features, rows = batch(model, pictures)
    assert len(model.generate(features, rows, 4)) == 2
