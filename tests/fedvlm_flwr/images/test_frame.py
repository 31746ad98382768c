"""Boxes follow the picture through padding and cropping, in numbers and in each model's pixels."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torch import Tensor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.mllama.image_processing_pil_mllama import (
    MllamaImageProcessorPil,
    get_all_supported_aspect_ratios,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from client_app.local import train_locally
from fedvlm_flwr.config import Stage, compose
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.data.framing import frame_of, to_image_frame, to_model_frame
from fedvlm_flwr.errors import DataError, ModelError
from fedvlm_flwr.evaluation.answers import generate_answers
from fedvlm_flwr.images.frame import WHOLE, Frame, cropped, padded
from fedvlm_flwr.images.reading import open_image
from fedvlm_flwr.models import load_model
from fedvlm_flwr.models.features import FeatureCache
from fedvlm_flwr.models.hf_vlm.processor import frame_through
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.resident import Resident
from strategies.core.client_hook import ClientHook
from tests import choices
from tests.hf_tiny import FAMILIES, KINDS, Kind
from tests.showo_tiny import showo

SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
SHARE = st.floats(0, 1)


@st.composite
def inside(draw):
    """A box inside the picture."""
    left, top = draw(SHARE), draw(SHARE)
    return left, top, draw(SHARE) * (1 - left), draw(SHARE) * (1 - top)


@given(SIZES, inside())
def test_padding_loses_nothing(size, box):
    frame = padded(size)
    seen = frame.to_frame(box)
    assert min(seen) >= 0
    assert max(seen[0] + seen[2], seen[1] + seen[3]) <= 1 + 1e-9
    assert frame.to_image(seen) == pytest.approx(box, abs=1e-9)


@given(SIZES, inside())
def test_cropping_keeps_what_lies_in_the_crop(size, box):
    frame = cropped(size)
    ends = (frame.left + frame.width, frame.top + frame.height)
    left, top = max(box[0], frame.left), max(box[1], frame.top)
    right, bottom = min(box[0] + box[2], ends[0]), min(box[1] + box[3], ends[1])
    back = frame.to_image(frame.to_frame(box))
    if right >= left and bottom >= top:
        assert back == pytest.approx((left, top, right - left, bottom - top), abs=1e-9)
    else:
        assert min(back[2:]) == pytest.approx(0, abs=1e-9)


@given(st.integers(1, 5000), inside())
def test_of_a_square_all_is_seen_as_it_is(side, box):
    assert padded((side, side)) == cropped((side, side)) == WHOLE
    assert WHOLE.to_frame(box) == box
    assert WHOLE.to_image(box) == box


def test_numbers_by_hand():
    # 300 x 100 in a square of 300: 100 pixels of margin above and below
    assert padded((300, 100)) == Frame(0, -1, 1, 3)
    assert padded((300, 100)).to_frame((0.5, 0.3, 0.25, 0.6)) == pytest.approx(
        (0.5, 1.3 / 3, 0.25, 0.2)
    )
    # the middle third of it
    assert cropped((300, 100)) == Frame(1 / 3, 0, 1 / 3, 1)
    assert cropped((300, 100)).to_frame((0.5, 0.3, 0.25, 0.6)) == pytest.approx(
        (0.5, 0.3, 0.5, 0.6)
    )
    # whole pixels: of 3 missing columns one stands on the left
    assert padded((2, 5)).left == -0.5


def test_a_box_outside_the_crop_ends_on_its_border():
    assert cropped((300, 100)).to_frame((0.7, 0.1, 0.2, 0.5)) == (1, 0.1, 0, 0.5)
    assert cropped((100, 300)).to_frame((0.1, 0.05, 0.5, 0.1)) == (0.1, 0, 0.5, 0)


def test_an_answer_in_the_margin_is_no_box_of_the_picture():
    told = padded((300, 100)).to_image((0.2, 0.1, 0.5, 0.1))
    assert told == pytest.approx((0.2, 0, 0.5, 0))
    assert told[3] == 0


def example(task: str, image: Path = Path("a.png")) -> Example:
    return Example(
        "1", (image,), "what is in [0.50, 0.00, 0.25, 1.00]?", "[0.5, 0.3, 0.2, 0.6]", task
    )


def test_texts_are_rewritten_where_the_task_holds_boxes():
    frame = padded((300, 100))
    seen = to_model_frame(example("detection"), frame)
    assert seen.question == "what is in [0.50, 0.33, 0.25, 0.33]?"
    assert seen.answer == "[0.50, 0.43, 0.20, 0.20]"
    caption = to_model_frame(example("captioning"), frame)
    assert (caption.question, caption.answer) == (seen.question, example("captioning").answer)
    assert to_model_frame(example("vqa"), frame) == example("vqa")


def test_a_model_is_taught_rounded_boxes_and_the_example_keeps_its_own():
    exact = replace(example("detection"), answer="[0.123456, 0.3, 0.2, 0.6]", box_decimals=3)
    assert to_model_frame(exact, WHOLE).answer == "[0.123, 0.300, 0.200, 0.600]"
    assert to_model_frame(exact, padded((300, 100))).answer == "[0.123, 0.433, 0.200, 0.200]"


def test_answers_are_told_in_the_picture():
    frame = padded((300, 100))
    assert to_image_frame("[0.50, 0.43, 0.20, 0.20]", "detection", frame) == (
        "[0.50, 0.29, 0.20, 0.60]"  # exactly, not rounded to the precision that was taught
    )
    assert to_image_frame("[0.50, 0.43, 0.20, 0.20]", "captioning", frame) == (
        "[0.50, 0.43, 0.20, 0.20]"
    )
    assert to_image_frame("no box", "detection", frame) == "no box"


def test_where_all_is_seen_no_text_changes():
    one = example("detection")
    assert to_model_frame(one, WHOLE) == one
    assert to_image_frame("[.5, 0.3, 0.2, 0.6]", "detection", WHOLE) == "[.5, 0.3, 0.2, 0.6]"


def test_no_picture_is_looked_at_for_tasks_without_boxes(model, tmp_path):
    missing = tmp_path / "missing.png"
    assert frame_of(example("vqa", missing), model.frame) is WHOLE
    with pytest.raises(DataError, match=r"missing\.png"):
        frame_of(example("detection", missing), model.frame)


# -- the models' own pixels ---------------------------------------------------------------------

SHAPES = [(300, 100), (90, 240), (120, 120), (101, 100)]
BOX = (0.42, 0.3, 0.2, 0.45)  # inside the middle third


def drawn(folder: Path, size: tuple[int, int], box: tuple[float, ...] = BOX) -> Path:
    """A grey picture with one red rectangle."""
    picture = Image.new("RGB", size, (90, 90, 90))
    left, top = round(box[0] * size[0]), round(box[1] * size[1])
    right, bottom = round((box[0] + box[2]) * size[0]), round((box[1] + box[3]) * size[1])
    picture.paste((255, 0, 0), (left, top, right, bottom))
    path = folder / f"{size}.png"
    picture.save(path)
    return path


def edges(pixels: Tensor) -> list[float]:
    """Left, top, right and bottom of what is red in [3, height, width], in fractions."""
    told = pixels[0] - pixels[1]
    red = told > told.max() / 2
    rows, columns = red.any(1).nonzero().flatten(), red.any(0).nonzero().flatten()
    height, width = red.shape
    found = columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    return [float(place) for place in found]


def agree(frame: Frame, pixels: Tensor, box: tuple[float, ...] = BOX) -> None:
    """The box in the frame is where the rectangle lies in the pixels, within one of them."""
    left, top, width, height = frame.to_frame(box)
    expected = [left, top, left + width, top + height]
    one = 1.01 / min(pixels.shape[1:])
    assert edges(pixels) == pytest.approx(expected, abs=one)


@pytest.mark.parametrize("size", SHAPES)
def test_llava_sees_the_whole_picture_in_a_square(model, tmp_path, size):
    path = drawn(tmp_path, size)
    (pixels,) = model.pixels([path])
    assert pixels.shape == (3, 64, 64)
    agree(model.frame(path), pixels)
    assert model.frame(path) == padded(size)


def test_llavas_margin_is_the_mean_colour(model, tmp_path):
    for size in ((300, 100), (100, 300)):
        (pixels,) = model.pixels([drawn(tmp_path, size)])
        rows = pixels if size[0] > size[1] else pixels.transpose(1, 2)  # the margin above and below
        for margin in (rows[:, :20], rows[:, 44:]):  # of 21.3 pixels each
            assert margin.abs().max() < 0.01  # 0.9 * 255 = 229.5 is no whole number
        assert rows[:, 23:41, :16].mean() == pytest.approx((90 / 255 - 0.9) / 0.3, abs=1e-3)


def test_llava_sees_a_square_picture_as_its_processor_makes_it(model, pictures):
    opened = [Image.open(path).convert("RGB") for path in pictures]
    plain = model.processor(opened, return_tensors="pt")["pixel_values"]
    assert torch.equal(model.pixels(pictures), plain)
    assert {model.frame(path) for path in pictures} == {WHOLE}


@pytest.mark.parametrize("size", SHAPES)
def test_llava_follows_a_processor_that_crops_squares(model, tmp_path, size):
    processor = CLIPImageProcessorPil(size={"shortest_edge": 80}, crop_size=64)
    crops = Llava(model.module, model.tokenizer, processor, "<image> {question}", 64)
    path = drawn(tmp_path, size)
    agree(crops.frame(path), crops.pixels([path])[0])
    assert crops.frame(path) != padded(size)


def test_llava_stretches_nothing_with_a_processor_that_would(model, tmp_path):
    processor = SiglipImageProcessorPil(size={"height": 64, "width": 64})
    stretches = Llava(model.module, model.tokenizer, processor, "<image> {question}", 64)
    path = drawn(tmp_path, (300, 100))
    agree(stretches.frame(path), stretches.pixels([path])[0])
    assert stretches.frame(path) == padded((300, 100))


@pytest.mark.parametrize("size", SHAPES)
def test_showo_sees_the_middle_square(tmp_path, size):
    model = showo()
    path = drawn(tmp_path, size)
    agree(model.frame(path), model.pixels([path])[0])
    assert model.frame(path) == cropped(size)


def test_showo_sees_the_middle_third_of_three_squares_in_values_from_minus_1_to_1(tmp_path):
    picture = Image.new("RGB", (192, 64), "red")
    ImageDraw.Draw(picture).rectangle((64, 0, 127, 63), fill=(0, 51, 255))
    picture.save(tmp_path / "three.png")
    (pixels,) = showo().pixels([tmp_path / "three.png"])
    expected = torch.tensor([-1.0, -0.6, 1.0])[:, None, None].expand(3, 64, 64)  # 51 / 127.5 - 1
    assert torch.allclose(pixels, expected, atol=1e-6)


def whole_tile(kind: Kind, features) -> Tensor:
    """The whole picture among what a family's processor makes of it, [3, height, width]."""
    pixels = features["pixel_values"].float()
    if "image_position_ids" in features:  # Gemma 4's patches, each with its column and row
        places = features["image_position_ids"][0]
        shown = places[:, 0] >= 0
        columns, rows = (places[shown].max(0).values + 1).tolist()
        patches = pixels[0][shown].view(rows, columns, 4, 4, 3)
        return patches.permute(4, 0, 2, 1, 3).reshape(3, rows * 4, columns * 4)
    if kind.whole is None:  # patches in groups of 2 x 2, each shown twice for a video's sake
        _, rows, columns = features["image_grid_thw"][0].tolist()
        patches = pixels.view(rows // 2, columns // 2, 2, 2, 3, 2, 8, 8)[..., 0, :, :]
        return patches.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * 8, columns * 8)
    tiles = pixels.flatten(0, -4)  # [tiles, 3, height, width]
    if kind.margins:  # all of Llama's tiles together, in rows
        down, across = get_all_supported_aspect_ratios(4)[int(features["aspect_ratio_ids"]) - 1]
        grid = tiles[: down * across].unflatten(0, (down, across))
        return grid.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
    return tiles[kind.whole]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_sees_what_its_view_says(family, hf_checkpoint, tmp_path):
    params = {"dtype": "float32", "quantize": None, "attention": "auto", "max_text_tokens": 200}
    params["checkpoint"] = str(hf_checkpoint(family))
    model = load_model(choices.model("any", "hf_vlm", params), torch.device("cpu"))
    kind = KINDS[family]()
    for size in SHAPES:
        path = drawn(tmp_path, size)
        agree(
            model.frame(path),
            whole_tile(kind, model.inputs.encode_image(open_image(path), torch.float32)),
        )
        if not kind.margins:
            assert model.frame(path) == (cropped(size) if kind.crops else WHOLE)


def test_llamas_tiles_hold_the_picture_in_their_upper_left():
    """300 x 100 becomes 96 x 32 in 3 tiles of 32; 40 x 30 stays as it is in 2."""
    processing = MllamaImageProcessorPil(size={"height": 32, "width": 32}, max_image_tiles=4)
    assert frame_through(processing, (300, 100)) == WHOLE
    assert frame_through(processing, (40, 30)) == Frame(0, 0, 64 / 40, 32 / 30)


@pytest.mark.parametrize("size", SHAPES)
def test_llavas_own_processing_pads_where_it_is_told_to(tmp_path, size):
    processing = LlavaImageProcessorPil(size={"shortest_edge": 64}, crop_size=64, do_pad=True)
    picture = Image.open(drawn(tmp_path, size))
    agree(
        frame_through(processing, size), processing(picture, return_tensors="pt")["pixel_values"][0]
    )
    assert frame_through(processing, size) == padded(size)


def test_a_crop_of_what_has_no_size_is_refused():
    processing = CLIPImageProcessorPil(do_resize=False, crop_size=64)
    with pytest.raises(ModelError, match="do_resize=False"):
        frame_through(processing, (300, 100))


# -- training and evaluation --------------------------------------------------------------------


def test_training_and_evaluation_show_the_model_the_same_boxes(model, tmp_path, monkeypatch):
    one = example("detection", drawn(tmp_path, (300, 100)))
    shown = []
    encode = model.encode

    def recorded(question, answer=None, history=(), **more):
        shown.append((question, answer))
        return encode(question, answer, history, **more)

    monkeypatch.setattr(model, "encode", recorded)
    stage = Stage(train={"connector": "full"})
    resident = Resident(model, [stage], FeatureCache(model, 10, on_disk=False))
    parameters = resident.place(0, resident.first, {})
    config = compose({})
    once = [[one]]
    train_locally(resident, parameters, once, config.train, 1e-3, ClientHook(None))
    seen = to_model_frame(one, padded((300, 100)))
    assert shown == [(seen.question, seen.answer)]
    monkeypatch.setattr(model, "generate", lambda *_: [seen.answer])
    answers = generate_answers(resident, [one], config.eval)
    assert shown[1:] == [(seen.question, None)]
    assert answers == ["[0.50, 0.29, 0.20, 0.60]"]
