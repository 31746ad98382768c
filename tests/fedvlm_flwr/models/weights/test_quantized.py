"""A 4-bit or 8-bit base through bitsandbytes, on the CPU too."""

import importlib.util

import pytest
import torch

from fedvlm_flwr.config import Lora, Stage
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.models import load_model
from fedvlm_flwr.models.parts import add_lora, set_trainable, train_in_float32
from tests import choices

CPU = torch.device("cpu")
QUESTIONS = ["is there a red shape?", "describe the image."]
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))


def gradients(model, features, batch, trained):
    """Of the loss, in evaluation mode, left in place too."""
    for parameter in trained.values():
        parameter.grad = None
    model.loss(features, batch).backward()
    return {name: parameter.grad.clone() for name, parameter in trained.items()}


@needs_bitsandbytes
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_only_the_llms_linears_are_quantised_and_adapters_train(
    cheap, cheap_folder, pictures, bits, dtype
):
    plain = load_model(choices.model("tiny_llava", "llava", cheap), CPU)
    small = load_model(
        choices.model("tiny_llava", "llava", {**cheap, "quantize": bits, "dtype": dtype}), CPU
    )
    kinds = {name: type(m).__name__ for name, m in small.module.named_modules()}
    wanted = {"4bit": "Linear4bit", "8bit": "Linear8bitLt"}[bits]
    linears = {name: kind for name, kind in kinds.items() if "Linear" in kind}
    inside = {name for name in linears if name.startswith("model.language_model.")}
    assert {linears[name] for name in inside} == {wanted}
    assert {linears[name] for name in set(linears) - inside} == {"Linear"}
    batch = [small.encode(question, "a red circle") for question in QUESTIONS]
    exact = plain.loss(plain.features(pictures[:2]), batch).item()
    add_lora(small, Lora(r=4, alpha=8, dropout=0.0, targets=None), seed=0)
    trained = set_trainable(small, Stage({"llm": "lora"}))
    features = small.features(pictures[:2])
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    before = gradients(small, features, batch, trained)
    with torch.inference_mode():
        assert len(small.generate(features, batch, 3)) == 2
    after = gradients(small, features, batch, trained)
    assert all(torch.equal(before[name], after[name]) for name in before)
    loss = small.loss(features, batch)
    assert loss.item() == pytest.approx(exact, rel=0.1)
    optimizer.step()
    assert small.loss(features, batch).item() < loss.item()
    with pytest.raises(ConfigError, match="'llm' is quantised"):
        train_in_float32(small, "llm")


def test_a_machine_without_bitsandbytes_says_so_in_one_sentence(cheap, cheap_folder, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "bitsandbytes" else found(name, *more),
    )
    with pytest.raises(ConfigError, match=r"fedvlm-flwr\[quant\]"):
        load_model(choices.model("tiny_llava", "llava", {**cheap, "quantize": "4bit"}), CPU)
