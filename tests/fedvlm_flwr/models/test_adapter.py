"""What is saved of adapters gives the same numbers in plain peft, on the published base."""

import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file, save_file

from fedvlm_flwr.adapters import factors_of, is_factor, pairs_in
from fedvlm_flwr.config import Lora, Stage, Tuning
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.models.adapter import save_adapter
from fedvlm_flwr.models.parts import adapted_layers, add_lora, read, set_trainable, write
from fedvlm_flwr.models.pretraining.tiny_llava import build
from fedvlm_flwr.models.residual import Residual
from fedvlm_flwr.models.saved_adapter import read_adapter, split
from fedvlm_flwr.takehome.merging import merge
from tests.fedvlm_flwr.conftest import SIZES, TEMPLATE, TEXTS

QUESTIONS = ["is there a red shape?", "describe the image."]
PLAIN = {"r": 4, "alpha": 8.0, "dropout": 0.0, "targets": None}
SOME = {".*down_proj": 2, "layers.0.self_attn.q_proj": 6}

CASES = {
    "as it is": ({}, 0),
    "with a residual": ({}, 3),
    "of other ranks": ({"rank_pattern": SOME}, 0),
    "of ranks that with a residual are r": ({"rank_pattern": SOME}, 2),
    "by the root of the rank": ({"use_rslora": True}, 0),
    "by the root of the rank with a residual": ({"use_rslora": True, "rank_pattern": SOME}, 2),
    "with magnitudes": ({"use_dora": True}, 0),
    "by a pattern of two": ({"target_pattern": r"layers\.1\.mlp\.up_proj|.*\.q_proj"}, 0),
    "from normal draws": ({"init": "gaussian"}, 0),
    "from the base": ({"init": "pissa"}, 0),
    "from the base by QR": ({"init": "olora"}, 0),
    "from the base with a residual": ({"init": "pissa", "rank_pattern": SOME}, 2),
}


def fresh(model):
    """The same base again."""
    other = build(SIZES, TEMPLATE, TEXTS, seed=0, max_text_tokens=64)
    other.module.load_state_dict(model.module.state_dict())
    other.module.eval()
    return other


def loss(model, pictures):
    rows = [model.encode(question, "a blue rectangle") for question in QUESTIONS]
    with torch.no_grad():
        return model.loss(model.features(pictures[:2]), rows).item()


def moved(arrays):
    draw = np.random.default_rng(0)
    return {
        name: (values + draw.normal(size=values.shape) / 10).astype(np.float32)
        for name, values in arrays.items()
    }


def term_of(arrays, rank):
    """A residual of a rank in each adapted layer."""
    pairs = pairs_in(arrays)
    zeros = {
        layer: type(p)(np.zeros_like(p.a[:rank]), p.b[:, :rank] * 0) for layer, p in pairs.items()
    }
    return moved(factors_of(zeros)) if rank else {}


@pytest.mark.parametrize("case", CASES)
def test_plain_peft_gives_the_same_loss(model, pictures, tmp_path, case):
    keys, rank = CASES[case]
    other, lora = fresh(model), Lora(**PLAIN, **keys)
    base = loss(model, pictures)
    stage = Stage({"connector": "full", "llm": "lora"})
    tuning = Tuning("f_cl", lora, [stage])
    add_lora(model, lora, seed=0)
    assert loss(model, pictures) == pytest.approx(base, abs=1e-4), "a start changes no answer"
    parameters = set_trainable(model, stage)
    first = read(parameters)
    arrays = moved(first)
    write(parameters, arrays)
    term = term_of(arrays, rank)
    Residual(model).place(term)
    own = loss(model, pictures)
    assert abs(own - base) > 1e-2
    save_adapter(model, tuning, arrays, tmp_path, term, first)
    loaded = PeftModel.from_pretrained(other.module, str(tmp_path))
    assert loss(other, pictures) == pytest.approx(own, abs=2e-4)
    adapted = {n.rpartition(".lora_A")[0] for n, _ in loaded.named_parameters() if "lora_A" in n}
    assert len(adapted) == len(pairs_in(arrays)), "the same layers have one"
    assert "lacks" not in json.loads((tmp_path / "reload.json").read_text())
    # The way back: the same tensors, the same term, and merged the same numbers.
    again, back = split(read_adapter(model, first, tmp_path), first, tuning)
    for mine, theirs in ((again, arrays), (back, term)):
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(values, theirs[name]) for name, values in mine.items())
    Residual(model).place({})
    merge(model, term, torch.float32)
    assert not adapted_layers(model)
    assert loss(model, pictures) == pytest.approx(own, abs=2e-4)


def test_an_adapter_of_another_start_becomes_a_term_beside_this_one(model, pictures, tmp_path):
    """Another machine's linear algebra takes another start out of the same base."""
    lora, stage = Lora(**PLAIN, init="pissa"), Stage({"llm": "lora"})
    tuning, other = Tuning("f_l", lora, [stage]), fresh(model)
    add_lora(model, lora, seed=0)
    first = read(set_trainable(model, stage))
    arrays = moved(first)
    save_adapter(model, tuning, arrays, tmp_path, None, first)
    write(set_trainable(model, stage), arrays)
    own = loss(model, pictures)
    add_lora(other, Lora(**PLAIN, init="olora"), seed=0)
    parameters = set_trainable(other, stage)
    here = read(parameters)
    again, term = split(read_adapter(other, here, tmp_path), here, tuning)
    write(parameters, again)
    Residual(other).place(term)
    assert loss(other, pictures) == pytest.approx(own, abs=2e-4)


def test_a_tensor_that_the_model_has_no_place_for_is_named(model, tmp_path):
    save_file({"linear_9.weight": np.zeros(2, np.float32)}, tmp_path / "connector.safetensors")
    with pytest.raises(RunError, match=r"holds 'linear_9.weight', for which the run's model"):
        read_adapter(model, {"connector.linear_1.weight": np.zeros(2, np.float32)}, tmp_path)
    (tmp_path / "connector.safetensors").write_bytes(b"half")
    with pytest.raises(RunError, match=r"connector.safetensors cannot be read"):
        read_adapter(model, {"connector.linear_1.weight": np.zeros(2, np.float32)}, tmp_path)


def test_halves_of_adapters_are_saved_as_what_they_are(model, tmp_path):
    """With A alone peft would load the base, and say nothing."""
    lora, stage = Lora(**PLAIN), Stage({"connector": "full", "llm": "lora"})
    add_lora(model, lora, seed=0)
    trained = read(set_trainable(model, stage))
    arrays = {name: values for name, values in trained.items() if not name.endswith("lora_B")}
    save_adapter(model, Tuning("f_cl", lora, [stage]), arrays, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "connector.safetensors",
        "reload.json",
        "shared.safetensors",
    ]
    saved = load_file(tmp_path / "shared.safetensors")
    assert saved.keys() == arrays.keys()
    assert all(np.array_equal(values, arrays[name]) for name, values in saved.items())
    lacks = json.loads((tmp_path / "reload.json").read_text())["lacks"]
    assert lacks == sorted(set(trained) - set(arrays)) and all(map(is_factor, lacks))
    with pytest.raises(ValueError, match=r"adapter_config\.json"):
        PeftModel.from_pretrained(model.module, str(tmp_path))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"target_pattern": "nothing"}, r"target_pattern='nothing' fits no layer"),
        ({"rank_pattern": {".*q_porj": 2}}, r"rank_pattern names '\.\*q_porj'.*fits no"),
        ({"rank_pattern": {".*qkv": 2, ".*q_proj": 3}}, r"'\.\*qkv'"),
    ],
)
def test_a_pattern_that_fits_no_layer_is_refused(model, keys, words):
    with pytest.raises(ConfigError, match=words):
        add_lora(model, Lora(**PLAIN, **keys), seed=0)
