"""The tiny Show-o: how its codes are learnt, and that it is made once and the same each time."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import load_model, model_skeleton, prepare_model, prepared_model
from fedvlm_flwr.models.pretraining.data import by_image, texts_of
from fedvlm_flwr.models.pretraining.recipe import ShowoRecipe
from fedvlm_flwr.models.pretraining.stages import PretrainingData, StageExample
from fedvlm_flwr.models.pretraining.tiny_showo import (
    ShowoTrainee,
    build,
    code_redundancy,
    pretrain,
    straight_through,
    to_sequence,
    tokenizer_for,
)
from fedvlm_flwr.models.showo.model import Showo

CPU = torch.device("cpu")
# Hardly any pretraining.
FEW = {"vision": (5, 2), "text": (2, 1), "language": (15, 5)}
CHEAP = [
    f"model.tiny.pretrain.{phase}={{steps: {steps}, warmup: {warmup}}}"
    for phase, (steps, warmup) in FEW.items()
]


@pytest.fixture(autouse=True)
def one_thread():
    """As many as the shipped recipe takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Record:
    image: Path
    question: str
    answer: str
    task: str


@pytest.fixture(scope="module")
def choice():
    """The shipped choice with a few steps of pretraining."""
    return compose({"overrides": shlex.join(["model=tiny_showo", *CHEAP])}).model


@pytest.fixture(scope="module")
def prepared(choice, home) -> Path:
    """The model, made once."""
    return prepare_model(choice)


@pytest.fixture
def records(pictures) -> list[Record]:
    boxes = ["[0.00, 0.00, 0.33, 0.48]", "[0.08, 0.05, 0.36, 0.43]", "[0.16, 0.09, 0.38, 0.39]"]
    told = []
    for path, box, color in zip(pictures[:3], boxes, ("black", "blue", "teal"), strict=True):
        told.append(Record(path, "describe the image.", f"a {color} rectangle", "captioning"))
        told.append(Record(path, "where is the shape?", box, "detection"))
        told.append(Record(path, f"is there a {color} shape?", "yes", "vqa"))
    return told


@pytest.fixture
def trainee(choice, records) -> ShowoTrainee:
    params = choice.params
    tokenizer = tokenizer_for(texts_of(by_image(records)), params.template)
    module = build(params.sizes, tokenizer, seed=0)
    model = Showo(module, tokenizer, params.resolution, params.template, 64)
    mix = {"captioning": 1, "detection": 1, "text": 1, "vqa": 1}
    vision = replace(params.tiny.pretrain.vision, pictures=4)
    return ShowoTrainee(model, replace(params.tiny.pretrain, mix=mix, vision=vision, redrawn=2))


def test_the_shipped_one_is_small_and_has_sixteen_tokens(choice):
    skeleton = model_skeleton(choice)
    assert 1e6 < sum(p.numel() for p in skeleton.module.parameters()) < 3e6
    assert skeleton.image_tokens == 16 + 3
    assert skeleton.lora_targets == ("dense", "fc1", "fc2", "k_proj", "q_proj", "v_proj")


def test_prepared_once_it_loads_and_answers(choice, prepared, pictures):
    assert prepared_model(choice) == prepared
    assert prepare_model(choice) == prepared
    model = load_model(choice, CPU)
    assert not any(p.requires_grad for p in model.module.parameters())
    assert not model.module.training
    batch = [model.encode("what is it?")] * 2
    assert len(model.generate(model.features(pictures[:2]), batch, 4)) == 2
    skeleton = model_skeleton(choice).module.state_dict()
    state = model.module.state_dict()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in skeleton.items()}


def test_the_same_seed_gives_the_same_weights(choice, prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    torch.manual_seed(99)  # what else drew random numbers before does not matter
    again = prepare_model(choice)
    assert again.name == prepared.name
    for file in ("model.safetensors", "image_tokenizer.safetensors"):
        assert (again / file).read_bytes() == (prepared / file).read_bytes()


def test_its_language_model_is_a_plain_one_for_transformers(prepared):
    from transformers import AutoModelForCausalLM

    plain, told = AutoModelForCausalLM.from_pretrained(prepared, output_loading_info=True)
    assert not any(told.values())
    assert type(plain).__name__ == "PhiForCausalLM"
    assert plain.config.qk_layernorm


def test_unprepared_and_broken_ones_say_what_to_do(choice, prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    assert prepared_model(choice) is None
    with pytest.raises(ModelError, match="run `fedvlm prepare`"):
        load_model(choice, CPU)
    copy = tmp_path / "models" / prepared.name
    copy.mkdir(parents=True)
    for file in prepared.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    broken = copy / "image_tokenizer.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"image_tokenizer\.safetensors is corrupt"):
        load_model(choice, CPU)


def test_all_three_phases_learn(trainee, records):
    losses = []
    recipe = trainee.recipe
    longer = {"vision": 40, "text": 25, "language": 25}
    phases = {
        name: replace(getattr(recipe, name), steps=steps, warmup=2, pictures=4)
        for name, steps in longer.items()
    }
    before = {name: value.clone() for name, value in trainee.module.state_dict().items()}
    longer_recipe = replace(recipe, **phases)
    pretrain(trainee.model, by_image(records), longer_recipe, lambda *at: losses.append(at[2]))
    assert len(losses) == 90
    for start, end in ((0, 40), (40, 65), (65, 90)):
        assert sum(losses[end - 4 : end]) < 0.8 * sum(losses[start : start + 4])
    changed = {k for k, v in trainee.module.state_dict().items() if not torch.equal(v, before[k])}
    constant = {"image_tokenizer.quantize.embedding", "image_tokenizer.quantize.power_vals"}
    assert set(before) - changed == constant


def test_the_codes_stay_once_the_language_model_learns(trainee, records, pictures):
    public = by_image(records)
    phases = {
        name: replace(getattr(trainee.recipe, name), steps=3, warmup=1, pictures=4)
        for name in ("vision", "text", "language")
    }
    seen = []

    def keep(done: int, total: int, loss: float) -> None:
        if done >= 3:
            seen.append(trainee.model.vision.encode(trainee.pixels(pictures)))

    pretrain(trainee.model, public, replace(trainee.recipe, **phases), keep)
    assert all(torch.equal(codes, seen[0]) for codes in seen)


def test_codes_start_as_what_the_vision_stage_learned(trainee):
    model = trainee.model
    bits = model.vision.sizes.bits
    table = model.llm.get_input_embeddings().weight
    before = table.detach().clone()
    projector = torch.nn.Linear(bits, table.shape[1], bias=False)
    trainee.initialize_code_embeddings(projector)
    first = model.vocabulary.first_code
    rows = table[first : first + model.vision.sizes.codes]
    assert torch.equal(table[:first], before[:first])
    assert torch.equal(table[-1], before[-1])
    assert rows.std().item() == pytest.approx(before.std().item(), rel=1e-3)
    assert torch.allclose(rows[0], -rows[-1], atol=1e-6)  # all bits turned: the contrary


def test_rows_see_their_own_picture_or_words(trainee, records):
    """The loss of two rows is that of each alone, weighed by the answers' tokens."""
    pictures = by_image(records)
    pixels = trainee.pixels([picture.path for picture in pictures])
    shown = StageExample(1, None, "describe the image.", "a blue rectangle")
    told = StageExample(2, "a teal rectangle", "is there a teal shape?", "yes")
    with torch.no_grad():
        both = trainee.loss(pixels, [shown, told]).item()
        one = trainee.loss(pixels[1:2], [replace(shown, image=0)]).item()
        other = trainee.loss(pixels[:0], [replace(told, image=0)]).item()
        another = trainee.loss(pixels, [replace(shown, image=0)]).item()
    assert both == pytest.approx((4 * one + 2 * other) / 6, abs=1e-5)
    assert one != another


def test_signs_carry_the_gradient_of_the_latents():
    soft = torch.tensor([-0.5, 0.2, 0.9], requires_grad=True)
    signs = straight_through(soft)
    assert signs.tolist() == [-1, 1, 1]
    (signs * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert soft.grad.tolist() == [1, 2, 3]


def test_what_bits_have_in_common_by_hand():
    signs = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1]]).reshape(1, 2, 2, 2)
    assert to_sequence(signs).tolist() == [[[1, 1], [1, -1], [-1, 1], [-1, -1]]]
    assert code_redundancy(signs).item() == 0
    assert code_redundancy(signs[:, :1].repeat(1, 2, 1, 1)).item() == 1  # twice the same bit
    assert code_redundancy(torch.full((1, 2, 2, 2), 0.5)).item() == pytest.approx(0.25 + 0.25**2)


def test_more_redrawn_pictures_than_a_batch_has_are_refused(choice):
    recipe = choice.params.tiny.pretrain
    assert isinstance(recipe, ShowoRecipe)
    with pytest.raises(ConfigError, match=r"redrawn=49 must lie between 1 and the 48"):
        replace(recipe, redrawn=49)


def test_images_are_drawn_from_the_pool(trainee, records):
    pictures = by_image(records)
    pixels = trainee.pixels([picture.path for picture in pictures])
    data = PretrainingData(pictures, pixels, trainee.recipe, torch.Generator().manual_seed(0))
    numbers, moved, boxes = data.sample([0, 2], 6)
    assert set(numbers) == {0, 2}
    assert moved.shape == (6, 3, 64, 64)
    assert boxes.shape == (6, 4)


def test_saved_weights_are_the_published_names(prepared):
    names = load_file(prepared / "image_tokenizer.safetensors").keys()
    assert {"encoder.quant_conv.weight", "decoder.post_quant_conv.bias"} <= names
    assert "quantize.power_vals" in names
