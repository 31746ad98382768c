"""A LLaVA that is written for transformers alone: same prompts, same pixels, same answers."""

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from fedvlm_flwr.data.federated import PLACE
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models.chat import turn_of
from fedvlm_flwr.models.llava import plain
from fedvlm_flwr.models.llava.connectors import Connector
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.prompts import Template
from tests.fedvlm_flwr.conftest import TEMPLATE
from tests.fedvlm_flwr.models.llava.test_chat import CHAT, PARTS
from tests.llava_sources import SPARE

TALK = (("is there a red shape?", "yes"), ("where is the shape?", "no"))
TWO = f"describe\n{PLACE}\na red\n{PLACE}\nshape?"


@pytest.fixture
def wide(tmp_path):
    """Pictures that are no squares, so that margins are seen."""
    paths = []
    for i, size in enumerate([(90, 40), (30, 77), (64, 64)]):
        paths.append(tmp_path / f"wide{i}.png")
        plain.striped(size).save(paths[-1])
    return paths


def content(text, images=()):
    """A message's parts, each picture at its place."""
    left, parts = list(images), []
    for i, piece in enumerate(text.split(PLACE)):
        parts += [{"type": "image", "image": Image.open(left.pop(0))}] if i else []
        parts += [{"type": "text", "text": piece.strip()}] if piece.strip() else []
    return [{"type": "image", "image": Image.open(path)} for path in left] + parts


def inputs_of(processor, talk):
    return processor.apply_chat_template(
        [{"role": "assistant" if i % 2 else "user", "content": c} for i, c in enumerate(talk)],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )


@torch.no_grad()
def require_same(model, folder, wide):
    """Answers of both to single questions, to a conversation and about two pictures."""
    (question, _), (second, _) = TALK
    own = [model.encode(question)] * 3
    ours = model.generate(model.features(wide), own, 6)
    ours += model.generate(model.features(wide[:1]), [model.encode(second, None, TALK[:1])], 6)
    ours += model.generate(model.features(wide[:2]), [model.encode(TWO, pictures=2)], 6)
    folder.mkdir()
    plain.save(model, folder)
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    network = AutoModelForImageTextToText.from_pretrained(folder).eval()
    assert type(network).__name__ == "LlavaForConditionalGeneration"
    talks = [[content(question, [path])] for path in wide]
    talks += [[content(question, wide[:1]), content(TALK[0][1]), content(second)]]
    talks += [[content(TWO, wide[:2])]]
    theirs = []
    for talk in talks:
        inputs = inputs_of(processor, talk)
        made = network.generate(**inputs, max_new_tokens=6)[0, inputs["input_ids"].shape[1] :]
        theirs.append(processor.decode(made, skip_special_tokens=True).strip())
    assert theirs == ours
    assert len(set(ours)) > 2, "answers that never differ show nothing"


@pytest.fixture
def talkative(model) -> Llava:
    """The same with a form for further questions."""
    return with_wording(model, TEMPLATE, "</s>{question}:")


def with_wording(model, template, follow_up=None):
    return Llava(
        model.module, model.tokenizer, model.processor, template, 200, model.image_token, follow_up
    )


def test_answers_are_the_same_with_margins_turns_and_several_pictures(talkative, wide, tmp_path):
    assert isinstance(talkative.wording, Template)
    require_same(talkative, tmp_path / "out", wide)


@pytest.mark.parametrize("template", [CHAT, PARTS.replace(SPARE, PLACE)])
def test_a_chat_template_for_text_is_given_its_pictures(model, wide, tmp_path, template):
    """One that writes pictures by itself stays as it is."""
    model.tokenizer.chat_template = template
    turn = turn_of(model.tokenizer, template, "here", model.image_token)
    require_same(with_wording(model, turn), tmp_path / "out", wide)


def test_a_connector_of_one_layer_becomes_one_of_two(talkative, wide, tmp_path):
    torch.manual_seed(3)
    network, config = talkative.module, talkative.module.config
    config.connector = "linear"
    network.model.multi_modal_projector = Connector("linear", 32, 32).requires_grad_(False)
    assert plain.reason_against(talkative) == ""
    require_same(talkative, tmp_path / "out", wide)


def test_a_processing_that_does_not_crop_stays_one(model, wide, tmp_path):
    """As SigLIP's, which says nothing of cropping."""
    square = {"height": 64, "width": 64}
    model.processor = SiglipImageProcessorPil(
        size=square, image_mean=[0.9] * 3, image_std=[0.3] * 3
    )
    require_same(with_wording(model, TEMPLATE, "</s>{question}:"), tmp_path / "out", wide)


def test_what_transformers_cannot_compute_is_refused_by_name(model):
    assert plain.reason_against(model) == ""
    model.module.config.connector = "mlp6x_gelu"
    assert "model.connector=mlp6x_gelu has 6 (linear and mlp2x_gelu can" in plain.reason_against(
        model
    )
    model.module.config.connector = "mlp2x_gelu"
    model.module.config.register_tokens = 4
    assert "the vision tower of this one has 5" in plain.reason_against(model)
    model.module.config.register_tokens = 0
    model.processor.image_mean = [1.5 / 255, 229.2 / 255, 0.5]
    model.margin = (2, 229, 128)
    assert "no image_mean makes" in plain.reason_against(model)


@pytest.mark.parametrize(
    ("mean", "margin"),
    [
        ([0.48145466, 0.4578275, 0.40821073], (123, 117, 104)),
        ([0.94] * 3, (240,) * 3),
        (0.5, (128,) * 3),
    ],
)
def test_margins_get_their_colour_though_transformers_cuts_decimals_off(model, mean, margin):
    model.processor.image_mean, model.margin = mean, margin
    factor = plain.raised(model)
    assert tuple(int(factor * value * 255) for value in plain.three(mean)) == margin
    assert factor == pytest.approx(1, abs=0.01) and factor != 1


def test_other_pixels_and_other_words_are_seen(model, tmp_path, monkeypatch):
    """The check that an export ends with."""
    for name, value, words in (
        ("raised", lambda _: 1.0, "other pixels"),
        (
            "chat_template",
            lambda _: "{{ messages[0]['content'][1]['text'] }}<image>",
            "other tokens",
        ),
    ):
        folder = tmp_path / name
        folder.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(plain, name, value)
            with pytest.raises(ModelError, match=words):
                plain.save(model, folder)
