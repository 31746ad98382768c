"""Vision towers, language models and tokens that a LLaVA can and cannot be put together from."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionConfig,
    ConvNextConfig,
    DeiTConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    DINOv3ViTConfig,
    LlamaForCausalLM,
    LlavaForConditionalGeneration,
    Siglip2Config,
    Siglip2VisionConfig,
    SiglipVisionConfig,
    ViTConfig,
)

from fedvlm_flwr.cli import main
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import load_model, model_skeleton, prepare_model
from tests import choices
from tests.llava_sources import (
    END,
    SPARE,
    language_checkpoint,
    tokenizer,
    vision_checkpoint,
    write_gguf,
)
from tests.llm_tiny import tiny_config

CPU = torch.device("cpu")
CONF = Path(__file__).parents[4] / "conf" / "model" / "llava_clip_llama32_3b.yaml"
SIZES = {"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 2, "patch_size": 8}
TOWER = {**SIZES, "num_hidden_layers": 3, "image_size": 32}
PATCHES = 16
QUESTIONS = ["what is the color of the shape?", "is it blue?"]


@pytest.fixture
def params(clip, llama) -> dict:
    """The shipped YAML with the sources of this test."""
    values = yaml.safe_load(CONF.read_text())
    del values["name"], values["kind"]
    changed = {"vision": clip, "llm": llama, "image_token": SPARE, "dtype": "float32"}
    return {**values, **changed, "template": "<image> {question} ASSISTANT:"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))


def made(params: dict, **changed: object):
    """Put together, and loaded otherwise than it was made."""
    prepare_model(choices.model("mine", "llava", params))
    return load_model(choices.model("mine", "llava", {**params, **changed}), CPU)


def folder_of(params: dict) -> Path:
    return prepare_model(choices.model("mine", "llava", params))


REGISTERS = Dinov2WithRegistersConfig(**TOWER, num_register_tokens=4)
TOWERS = {
    "clip": (CLIPVisionConfig(**TOWER), 1, "default"),
    "clip, all": (CLIPVisionConfig(**TOWER), 1, "full"),
    "siglip": (SiglipVisionConfig(**TOWER), 0, "default"),
    "dinov2": (Dinov2Config(**TOWER), 1, "default"),
    "dinov2 with registers": (REGISTERS, 5, "default"),
    "dinov2 with registers, all": (REGISTERS, 5, "full"),
    "dinov3": (DINOv3ViTConfig(**TOWER, num_register_tokens=4), 5, "default"),
    "vit": (ViTConfig(**TOWER), 1, "default"),
    "deit": (DeiTConfig(**TOWER), 2, "default"),
}


@pytest.mark.parametrize(("config", "before", "strategy"), TOWERS.values(), ids=TOWERS)
def test_features_are_the_patches_of_every_tower(
    params, config, before, strategy, pictures, tmp_path
):
    source = vision_checkpoint(config, tmp_path / "tower")
    changed = {"vision": str(source), "vision_feature_select_strategy": strategy}
    model = made({**params, **changed})
    tower = AutoModel.from_pretrained(source).eval()
    with torch.no_grad():
        pixels = model.pixels(pictures[:1])
        states = tower(pixels, output_hidden_states=True).hidden_states[-2][0]
        dropped = before if strategy == "default" else 0
        tokens = model.features(pictures[:1])[0]["tokens"]
        assert torch.equal(tokens, states[dropped:])
        assert len(tokens) == PATCHES + before - dropped == model.module.config.image_seq_length
        # The last patch is the corner that a change of its pixels shows in most.
        pixels[..., -8:, -8:] += 9
        moved = (
            tower(pixels, output_hidden_states=True).hidden_states[0][0, before:]
            - (
                tower(model.pixels(pictures[:1]), output_hidden_states=True).hidden_states[0][
                    0, before:
                ]
            )
        )
        assert moved.abs().sum(-1).nonzero().flatten().tolist() == [PATCHES - 1]
        if dropped < 2:  # transformers' own way leaves out one token or none
            plain = LlavaForConditionalGeneration.from_pretrained(folder_of({**params, **changed}))
            theirs = plain.get_image_features(model.pixels(pictures[:1])).pooler_output[0]
            assert torch.allclose(theirs, model.connect(tokens[None])[0], atol=1e-5)
    assert model.prompt_facts()["image_tokens"] == len(tokens)


def only_configured(source: Path) -> Path:
    """A folder without its weights: whoever reads them is told that there are none."""
    for path in source.glob("*.safetensors"):
        path.unlink()
    return source


def language_folder(family: str, folder: Path) -> Path:
    folder.mkdir()
    tiny_config(family).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def tower_folder(config, folder: Path, clip: str) -> Path:
    config.save_pretrained(folder)
    shutil.copy(Path(clip) / "preprocessor_config.json", folder)
    return folder


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("phi", "head has a bias"),
        ("gpt2", "no linear layers"),
        ("opt", "decoder by itself"),
        ("bloom", "takes no position_ids"),
        ("mamba", "takes no position_ids"),
        ("gemma3", "model=hf_vlm"),
    ],
)
def test_a_language_model_that_does_not_fit_is_refused_before_weights_are_read(
    params, family, reason, tmp_path, capsys
):
    changed = {**params, "llm": str(language_folder(family, tmp_path / "llm"))}
    choice = choices.model("mine", "llava", changed)
    for reads in (prepare_model, model_skeleton):
        with pytest.raises(ModelError, match=rf"'{family}'.*{reason}.*model\.llm"):
            reads(choice)
    words = [f"model.{key}={changed[key]}" for key in ("vision", "llm", "dtype")]
    assert main(["params", "model=llava_clip_llama32_3b", *words]) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (ConvNextConfig(num_stages=4), r"'convnext'.*one token for each patch"),
        (Siglip2VisionConfig(**SIZES, num_hidden_layers=3), "'siglip2_vision_model'.*cannot take"),
        (Siglip2Config(), "'siglip2'.*vision tower cannot be taken out"),
        (CLIPVisionConfig(**{**TOWER, "image_size": 48}), "32 x 32 pixels.*belong together"),
        (SiglipVisionConfig(**{**TOWER, "image_size": 48}), "32 x 32 pixels.*belong together"),
    ],
    ids=["convnext", "siglip2_vision", "siglip2", "clip_of_48", "siglip_of_48"],
)
def test_a_vision_tower_that_does_not_fit_is_refused_before_weights_are_read(
    params, config, reason, clip, tmp_path
):
    source = tower_folder(config, tmp_path / "tower", clip)
    choice = choices.model("mine", "llava", {**params, "vision": str(source)})
    for reads in (prepare_model, model_skeleton):
        with pytest.raises(ModelError, match=reason):
            reads(choice)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"image_token": "<|nobody's|>"}, ConfigError, "no token of"),
        ({"image_token": END}, ConfigError, "begins or ends a text"),
        ({"vision_feature_layer": -9}, ModelError, "no layer -9.*which has 3"),
    ],
)
def test_keys_that_do_not_fit_the_sources_are_refused_before_weights_are_read(
    params, change, error, reason, tmp_path
):
    bare = {
        part: str(only_configured(shutil.copytree(params[part], tmp_path / part)))
        for part in ("vision", "llm")
    }
    choice = choices.model("mine", "llava", {**params, **bare, **change})
    for reads in (prepare_model, model_skeleton):
        with pytest.raises(error, match=reason):
            reads(choice)


@torch.no_grad()
def own_loss(network, model, features, row):
    """By the language model's own forward, the picture's tokens in their places."""
    image = model.connect(features["tokens"][None])
    embeds, _ = model.assemble(image, [(*row.prompt_ids, *row.answer_ids)], left=False)
    count = len(row.answer_ids)
    logits = network(inputs_embeds=embeds).logits[0, -count - 1 : -1]
    return torch.nn.functional.cross_entropy(logits.float(), torch.tensor(row.answer_ids))


@pytest.mark.parametrize("family", ["gemma2", "granite", "cohere", "gpt_oss"])
def test_the_loss_is_the_language_models_own(params, family, pictures, tmp_path):
    config = tiny_config(family)
    config.vocab_size, config.eos_token_id = len(tokenizer()), 0
    source = language_checkpoint(config, tmp_path / "llm")
    model = made({**params, "llm": str(source)})
    network = AutoModelForCausalLM.from_pretrained(source).eval()
    row, features = model.encode(QUESTIONS[0], "blue"), model.features(pictures[:1])
    assert model.loss(features, [row]).item() == pytest.approx(
        own_loss(network, model, features[0], row).item(), abs=1e-5
    )
    chosen = model.llm.config._attn_implementation
    assert chosen == ("eager" if family in ("gemma2", "gpt_oss") else "sdpa")
    assert model.vision.config._attn_implementation == "sdpa"
    if chosen == "eager":
        with pytest.raises(ConfigError, match=r"attention=sdpa cannot .*set it to auto or eager"):
            made({**params, "llm": str(source)}, attention="sdpa")


@pytest.mark.parametrize("name", [None, SPARE])
def test_plain_transformers_gives_our_answers_however_the_token_is_named(
    params, name, llama, pictures
):
    changed = {**params, "image_token": name}
    model, folder = made(changed), folder_of(changed)
    plain = LlavaForConditionalGeneration.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)
    features = model.features(pictures[:2])
    ours = model.generate(features, [model.encode(q) for q in QUESTIONS], 6)
    facts = model.prompt_facts()
    token = facts["image_token"]
    for question, path, answer in zip(QUESTIONS, pictures, ours, strict=False):
        text = facts["template"].replace(token, token * facts["image_tokens"])
        asked = question.replace(token, " ").strip()
        ids = words(text.replace("{question}", asked), return_tensors="pt")
        made_ids = plain.generate(
            **ids, pixel_values=model.pixels([path]), max_new_tokens=6, do_sample=False
        )
        end = ids["input_ids"].shape[1]
        assert words.decode(made_ids[0, end:], skip_special_tokens=True).strip() == answer
    network = LlamaForCausalLM.from_pretrained(llama).eval()
    row = model.encode(QUESTIONS[1], "blue")
    assert model.loss(features[:1], [row]).item() == pytest.approx(
        own_loss(network, model, features[0], row).item(), abs=1e-5
    )


def test_a_row_that_was_added_is_never_an_answer(params, pictures):
    model = made({**params, "image_token": None})
    logits = model.logits(torch.randn(3, 5, 32))
    assert logits.shape == (3, 5, model.image_id + 1)
    assert torch.isneginf(logits[..., model.image_id]).all()
    assert torch.isfinite(logits[..., : model.image_id]).all()


def test_a_checkpoints_token_for_a_picture_is_its_own(params):
    whole = {"vision": None, "llm": None, "connector": None}
    changed = {**params, **whole, "checkpoint": str(folder_of(params)), "image_token": None}
    assert load_model(choices.model("mine", "llava", changed), CPU).image_token == SPARE
    choice = choices.model("mine", "llava", {**changed, "image_token": "?"})
    for reads in (prepare_model, model_skeleton, lambda model: load_model(model, CPU)):
        with pytest.raises(ConfigError, match=r"image_token='\?' is not the token.*set it to null"):
            reads(choice)


def test_a_gguf_file_leaves_clean_weights(params, llama, pictures, tmp_path):
    """They can be quantized, and their configuration says nothing of GGUF."""
    write_gguf(Path(llama), tmp_path / "llama.gguf")
    changed = {**params, "llm": str(tmp_path / "llama.gguf")}
    written = json.loads((folder_of(changed) / "config.json").read_text())
    assert "quantization_config" not in {*written, *written["text_config"]}
    exact = made(changed)
    rows = [exact.encode(question, "blue") for question in QUESTIONS]
    features = exact.features(pictures[:2])
    merged = tmp_path / "merged"
    exact.module.save_pretrained(merged)  # what merging an adapter ends with
    again = LlavaForConditionalGeneration.from_pretrained(merged)
    assert torch.equal(again.lm_head.weight, exact.head.weight)
    if importlib.util.find_spec("bitsandbytes") is not None:
        losses = [
            made(source, quantize="4bit").loss(features, rows) for source in (changed, params)
        ]
        assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-3)
