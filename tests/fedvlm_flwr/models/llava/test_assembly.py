"""LLaVA put together from a vision tower, a connector and a language model, GGUF included."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, CLIPModel, LlamaForCausalLM

from fedvlm_flwr.config import Lora, Stage
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import load_model, model_skeleton, prepare_model
from fedvlm_flwr.models.parts import add_lora, set_trainable
from tests import choices
from tests.llava_sources import SPARE, tokenizer, write_gguf

CPU = torch.device("cpu")
CONF = Path(__file__).parents[4] / "conf" / "model" / "llava_clip_llama32_3b.yaml"


@pytest.fixture
def params(clip, llama) -> dict:
    """The shipped YAML with the sources of this test."""
    found = yaml.safe_load(CONF.read_text())
    del found["name"], found["kind"]
    return {**found, "vision": clip, "llm": llama, "image_token": SPARE, "dtype": "float32"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))


def made(params: dict):
    prepare_model(choices.model("mine", "llava", params))
    return load_model(choices.model("mine", "llava", params), CPU)


QUESTIONS = ["what is the color of the shape?", "is it blue?"]


def test_the_parts_are_the_sources_weights(params, clip, llama, pictures):
    model = made(params)
    tower = CLIPModel.from_pretrained(clip).vision_model.state_dict()
    ours = model.vision.state_dict()
    assert ours.keys() == tower.keys()
    assert all(torch.equal(ours[name], tower[name]) for name in tower)
    text = AutoModelForCausalLM.from_pretrained(llama)
    ids = torch.tensor([[5, 9, 7, 30]])
    hidden = model.llm(input_ids=ids).last_hidden_state
    assert torch.equal(model.head(hidden), text(input_ids=ids).logits)
    assert model.features(pictures[:1])[0]["tokens"].shape == (16, 24)
    answers = model.generate(model.features(pictures[:2]), list(map(model.encode, QUESTIONS)), 5)
    assert len(answers) == 2


def test_no_embedding_table_is_trained_whatever_stands_for_the_picture(params, llama):
    rows = LlamaForCausalLM.from_pretrained(llama).config.vocab_size
    for token, image_id in ((SPARE, tokenizer().get_vocab()[SPARE]), (None, rows)):
        model = made({**params, "image_token": token})
        assert model.image_id == image_id
        table = model.llm.get_input_embeddings().weight
        assert table.shape[0] == max(rows, image_id + 1) and not table[rows:].any()
        full = set_trainable(model, Stage({"connector": "full", "llm": "full"}))
        assert not [name for name in full if "embed" in name or "lm_head" in name]
        prompt = model.encode(QUESTIONS[0]).prompt_ids
        assert prompt.count(image_id) == 1


def test_a_gguf_file_gives_the_same_language_model(params, llama, tmp_path, pictures):
    path = tmp_path / "llama.gguf"
    write_gguf(llama, path)
    whole, packed = made(params), made({**params, "llm": str(path)})
    assert packed.encode(QUESTIONS[0]) == whole.encode(QUESTIONS[0])
    for name, value in whole.module.state_dict().items():
        assert torch.allclose(packed.module.state_dict()[name], value, atol=1e-6), name
    batch = list(map(whole.encode, QUESTIONS))
    features = whole.features(pictures[:2])
    assert packed.generate(features, batch, 5) == whole.generate(features, batch, 5)


def test_it_is_made_once_however_a_path_is_written(params, llama, monkeypatch):
    made(params)
    monkeypatch.chdir(Path(llama).parent)
    written = {**params, "llm": Path(llama).name}
    assert prepare_model(choices.model("mine", "llava", written)) == prepare_model(
        choices.model("mine", "llava", params)
    )


@pytest.mark.parametrize("name", ["linear", "mlp2x_gelu", "mlp6x_gelu"])
def test_each_connector_is_kept_and_trains(params, name, pictures):
    model = made({**params, "connector": name})
    again = load_model(choices.model("mine", "llava", {**params, "connector": name}), CPU)
    first, second = model.connector.state_dict(), again.connector.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    trained = set_trainable(model, Stage({"connector": "full"}))
    assert len(trained) == {"linear": 2, "mlp2x_gelu": 4, "mlp6x_gelu": 12}[name]
    batch = [model.encode(question, "blue") for question in QUESTIONS]
    model.loss(model.features(pictures[:2]), batch).backward()
    assert all(bool(parameter.grad.any()) for parameter in trained.values())


def test_the_connector_starts_from_its_seed_or_from_a_file(params, tmp_path):
    one, two = made(params), made({**params, "connector_seed": 1})
    weight = {name: value + 1 for name, value in one.connector.state_dict().items()}
    assert not torch.equal(one.connector.linear_1.weight, two.connector.linear_1.weight)
    assert one.untrained == two.untrained == ("connector",)
    save_file(weight, tmp_path / "connector.safetensors")
    given = made({**params, "connector_weights": str(tmp_path / "connector.safetensors")})
    assert torch.equal(given.connector.linear_1.weight, weight["linear_1.weight"])
    assert given.untrained == ()
    del weight["linear_2.bias"]
    save_file(weight, tmp_path / "half.safetensors")
    with pytest.raises(ModelError, match=r"half\.safetensors lacks linear_2\.bias"):
        made({**params, "connector_weights": str(tmp_path / "half.safetensors")})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"connector": "mlp1x_gelu"}, "mlp1x_gelu"),
        ({"connector": None}, "go together"),
        ({"image_token": "<nothing>"}, "<nothing>"),
        ({"llm": "/no/such/folder"}, "/no/such/folder"),
        ({"llm": "/no/such/file.gguf"}, "file.gguf"),
        ({"checkpoint": "x/y"}, "exactly one"),
        ({"quantize": "2bit"}, "2bit"),
        ({"attention": "flash_attention_2"}, "flash-attn"),
    ],
)
def test_what_does_not_fit_is_named(params, change, said):
    with pytest.raises((ConfigError, ModelError), match=said):
        made({**params, **change})


def test_a_checkpoint_that_lacks_tensors_is_refused_not_loaded_half(params, tmp_path):
    folder = prepare_model(choices.model("mine", "llava", params))
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if "down_proj" in name)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    del weights[gone]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    whole = {"vision": None, "llm": None, "connector": None, "checkpoint": str(copy)}
    with pytest.raises(ModelError, match=r"lacks .*down_proj"):
        load_model(choices.model("mine", "llava", {**params, **whole}), CPU)


@pytest.mark.parametrize(
    ("name", "numbers"), [("linear", 2.36), ("mlp2x_gelu", 11.80), ("mlp6x_gelu", 49.56)]
)
def test_the_shipped_sizes_are_the_benchmarks(name, numbers):
    """FedVLMBench (arXiv 2506.09638): connectors and adapter of CLIP ViT-B/32 and Llama-3.2-3B."""
    shipped = yaml.safe_load(CONF.read_text())
    del shipped["name"], shipped["kind"]
    network = model_skeleton(choices.model("llava", "llava", {**shipped, "connector": name}))
    assert network.image_tokens == 49
    trained = set_trainable(network, Stage({"connector": "full"}))
    assert round(sum(p.numel() for p in trained.values()) / 1e6, 2) == numbers
    add_lora(network, Lora(r=8, alpha=32, dropout=0.05, targets=None), seed=0)
    adapter = set_trainable(network, Stage({"llm": "lora"}))
    assert round(sum(p.numel() for p in adapter.values()) / 1e6, 2) == 12.16


@pytest.mark.parametrize("value", [0, 7, "text", None, [1, 2]], ids=str)
@pytest.mark.parametrize("key", ["model_type", "hidden_size", "num_attention_heads"])
def test_sizes_of_which_no_network_can_be_made_are_refused(key, value):
    shipped = yaml.safe_load(CONF.read_text())
    del shipped["name"], shipped["kind"]
    for sizes in shipped["architectures"].values():
        sizes |= {"num_hidden_layers": 1, key: value}
    with pytest.raises(ModelError, match=r"model\.(architectures|llm)") as refusal:
        model_skeleton(choices.model("mine", "llava", shipped))
    assert "\n" not in str(refusal.value)
