"""Show-o from files: the published formats, what is wrong with others, and how it is held."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import PhiForCausalLM

from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import load_model, model_skeleton, prepare_model
from fedvlm_flwr.models.adapter import save_adapter
from fedvlm_flwr.models.parts import add_lora, read, set_trainable
from tests import choices
from tests.showo_tiny import TEMPLATE, WORDS, publish, showo, sizes

CPU = torch.device("cpu")
SOURCES = ("checkpoint", "image_tokenizer", "text_tokenizer")


def params(keys: dict[str, str], **changes) -> dict:
    """The parameters for a published model's folders."""
    plain = {"dtype": "float32", "quantize": None, "attention": "auto", "max_text_tokens": 64}
    size = asdict(sizes(WORDS))
    return {"template": TEMPLATE, "resolution": 64, "sizes": size, **plain, **keys, **changes}


@pytest.fixture
def model():
    return showo()


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


class Code:
    """What a pickle could run."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize("pickled", [False, True])
def test_the_published_formats_load_whole(model, pictures, tmp_path, pickled):
    keys = publish(model, tmp_path, pickled=pickled)
    assert prepare_model(choices.model("real", "showo", params(keys))) is None
    again = load_model(choices.model("real", "showo", params(keys)), CPU)
    expected = model.module.state_dict()
    assert {name: value.shape for name, value in again.module.state_dict().items()} == {
        name: value.shape for name, value in expected.items()
    }
    for name, value in again.module.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert not any(p.requires_grad for p in again.module.parameters())
    assert not again.module.training
    assert again.fingerprint == model.fingerprint
    batch = [again.encode("is there a red shape?")] * 5
    answers = again.generate(again.features(pictures), batch, 6)
    assert answers == model.generate(model.features(pictures), batch, 6)


def spoil(keys: dict[str, str], part: str, change) -> None:
    path = Path(keys[part]) / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path, {"format": "pt"})


@pytest.mark.parametrize("part", ["checkpoint", "image_tokenizer"])
def test_missing_tensors_are_named_and_counted(model, tmp_path, part):
    keys = publish(model, tmp_path)
    spoil(keys, part, lambda state: [state.pop(name) for name in sorted(state)[:5]])
    with pytest.raises(ModelError, match=rf"{part} lacks .* and 2 more"):
        load_model(choices.model("real", "showo", params(keys)), CPU)


@pytest.mark.parametrize("part", ["checkpoint", "image_tokenizer"])
def test_unexpected_tensors_are_named(model, tmp_path, part):
    keys = publish(model, tmp_path)
    spoil(keys, part, lambda state: state.update({"mm_projector.0.bias": torch.zeros(2)}))
    with pytest.raises(ModelError, match=rf"{part} has unexpected mm_projector\.0\.bias"):
        load_model(choices.model("real", "showo", params(keys)), CPU)


@pytest.mark.parametrize(
    ("part", "name"),
    [("checkpoint", "showo.lm_head.bias"), ("image_tokenizer", "encoder.conv_in.bias")],
)
def test_tensors_of_another_shape_are_named(model, tmp_path, part, name):
    keys = publish(model, tmp_path)
    spoil(keys, part, lambda state: state.update({name: torch.zeros(7)}))
    with pytest.raises(ModelError, match=r"(lm_head|conv_in)\.bias.* with another shape"):
        load_model(choices.model("real", "showo", params(keys)), CPU)


@pytest.mark.parametrize("part", ["checkpoint", "image_tokenizer"])
def test_a_pickle_that_would_run_code_is_not_read(model, tmp_path, monkeypatch, part):
    keys = publish(model, tmp_path, pickled=True)
    torch.save({"showo.lm_head.bias": Code()}, Path(keys[part]) / "pytorch_model.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="holds more than tensors"):
        load_model(choices.model("real", "showo", params(keys)), CPU)
    assert not Path("ran").exists()


@pytest.mark.parametrize("part", ["checkpoint", "image_tokenizer"])
def test_a_cut_file_is_named(model, tmp_path, part):
    keys = publish(model, tmp_path)
    path = Path(keys[part]) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match=rf"{part}.* cannot be read as weights"):
        load_model(choices.model("real", "showo", params(keys)), CPU)


@pytest.mark.parametrize("part", SOURCES)
def test_a_hub_id_out_of_reach_says_to_give_a_folder(model, tmp_path, offline, part):
    keys = publish(model, tmp_path)
    with pytest.raises(ModelError, match=r"nobody/nothing .*give a folder"):
        load_model(choices.model("real", "showo", params(keys, **{part: "nobody/nothing"})), CPU)


@pytest.mark.parametrize("part", SOURCES)
def test_a_folder_without_the_files_is_named(model, tmp_path, offline, part):
    keys = publish(model, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=f"{tmp_path}/empty"):
        load_model(
            choices.model("real", "showo", params(keys, **{part: str(tmp_path / "empty")})), CPU
        )


def test_a_file_that_holds_other_things_is_named(model, tmp_path):
    keys = publish(model, tmp_path, pickled=True)
    path = Path(keys["image_tokenizer"]) / "pytorch_model.bin"
    torch.save({"state": model.vision.state_dict(), "epoch": 3}, path)
    with pytest.raises(ModelError, match="does not hold named tensors only"):
        load_model(choices.model("real", "showo", params(keys)), CPU)


def test_another_tokenizer_would_shift_the_codes_and_is_refused(model, tmp_path):
    keys = publish(model, tmp_path)
    with pytest.raises(ModelError, match=r"has 300 tokens and model\.sizes\.words is 301"):
        load_model(
            choices.model("real", "showo", params(keys, sizes=asdict(sizes(WORDS + 1)))), CPU
        )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"checkpoint": None}, "exactly one of model.checkpoint"),
        ({"image_tokenizer": None}, "needs model.image_tokenizer"),
        ({"text_tokenizer": None}, "needs model.text_tokenizer"),
        ({"sizes": asdict(sizes(None))}, "needs model.sizes.words"),
        ({"attention": "flash_attention_2"}, "cannot compute Show-o's mask"),
        ({"resolution": 72}, "must be a multiple of 16"),
        ({"max_text_tokens": 250}, "more than the 256 positions"),
    ],
)
def test_contradictions_are_refused_before_anything_is_read(changes, says):
    keys = dict.fromkeys(SOURCES, "/nowhere")
    with pytest.raises(ConfigError, match=says):
        load_model(choices.model("real", "showo", params(keys, **changes)), CPU)


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_a_quantised_language_model_trains_and_answers(model, pictures, tmp_path, quantize):
    pytest.importorskip("bitsandbytes", reason="the extra [quant] is not installed")
    keys = publish(model, tmp_path)
    small = load_model(
        choices.model("real", "showo", params(keys, quantize=quantize, dtype="bfloat16")), CPU
    )
    features = small.features(pictures)
    for mine, theirs in zip(features, model.features(pictures), strict=True):
        assert torch.equal(mine["ids"], theirs["ids"])
    assert small.lora_targets == model.lora_targets
    config = compose({"overrides": "tuning=f_l"}).tuning
    add_lora(small, config.lora, seed=0)
    trained = set_trainable(small, config.stages[0])
    batch = [small.encode("is there a red shape?", "no")] * 5
    loss = small.loss(features, batch)
    assert loss.item() == pytest.approx(model.loss(features, batch).item(), rel=0.1)
    loss.backward()
    assert all(parameter.grad is not None for parameter in trained.values())
    assert len(small.generate(features, batch, 3)) == 5


def test_bfloat16_is_the_language_models_alone(model, tmp_path):
    keys = publish(model, tmp_path)
    half = load_model(choices.model("real", "showo", params(keys, dtype="bfloat16")), CPU)
    assert {p.dtype for p in half.module.showo.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in half.vision.parameters()} == {torch.float32}
    assert half.fingerprint == model.fingerprint


def test_an_adapter_fits_the_plain_language_model(model, tmp_path, pictures):
    keys = publish(model, tmp_path)
    tuned = load_model(choices.model("real", "showo", params(keys)), CPU)
    tuning = compose({"overrides": "tuning=f_l"}).tuning
    add_lora(tuned, tuning.lora, seed=0)
    tuned.module.eval()  # no dropout in the new layers
    trained = set_trainable(tuned, tuning.stages[0])
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in trained.values():
            parameter.normal_(std=0.1, generator=generator)
    save_adapter(tuned, tuning, read(trained), tmp_path / "adapter")
    base, told = PhiForCausalLM.from_pretrained(
        keys["checkpoint"],
        config=architecture(model),
        key_mapping={r"^showo\.": ""},
        output_loading_info=True,
    )
    assert not any(told.values())
    plain = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    row = [*tuned.image_prefix(tuned.features(pictures)[0]["ids"]), *tuned.encode("a?").prompt_ids]
    ids, seen = tuned.assemble([row], [19], left=False)
    with torch.no_grad():
        expected = tuned.module.showo(input_ids=ids, attention_mask=seen).logits
        found = plain(input_ids=ids, attention_mask=seen).logits
        before = model.module.showo(input_ids=ids, attention_mask=seen).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert (found - before).abs().max() > 0.1


def architecture(model):
    """Phi's configuration, as a user writes it down for the published file."""
    return type(model.llm.config)(**model.llm.config.to_dict())


@pytest.mark.parametrize(("name", "tokens"), [("showo_256", 256), ("showo_512", 1024)])
def test_the_published_sizes_take_7_million_adapter_weights(name, tokens):
    config = compose({"overrides": f"model={name} tuning=f_l"})
    assert (config.tuning.lora.r, config.tuning.lora.alpha) == (8, 32.0)
    skeleton = model_skeleton(config.model)
    assert skeleton.module.showo.config.vocab_size == 58498
    assert skeleton.image_tokens == tokens + 3
    add_lora(skeleton, config.tuning.lora, seed=0)
    trained = set_trainable(skeleton, config.tuning.stages[0])
    assert sum(parameter.numel() for parameter in trained.values()) == 7_077_888
    assert {parameter.device.type for parameter in trained.values()} == {"meta"}
