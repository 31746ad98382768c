"""What the tiny models are pretrained on."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.models.pretraining.data import balance, box_text, by_image, check_mix, shift_shapes


@dataclass(frozen=True)
class Record:
    image: Path
    question: str
    answer: str
    task: str


def record(task, answer, question="q?", name="a.png"):
    return Record(Path(name), question, answer, task)


def square(left, top, size):
    pixels = torch.zeros(1, 3, 64, 64)
    pixels[..., top : top + size, left : left + size] = 1
    return pixels


def test_a_moved_square_lies_where_its_box_says():
    picture = by_image([record("detection", "[0.00, 0.50, 0.25, 0.25]")])[0]
    draw = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(20):
        moved, boxes = shift_shapes(square(0, 32, 16), [picture], draw)
        x, y, width, height = (boxes[0] * 64).round().int().tolist()
        assert torch.equal(moved, square(x, y, 16))  # also when it stood at the border
        assert (width, height) == (16, 16)
        seen.add((x, y))
    assert len(seen) > 15


def test_a_picture_without_a_box_stays():
    picture = by_image([record("vqa", "yes")])[0]
    moved, _ = shift_shapes(square(3, 4, 9), [picture], torch.Generator())
    assert torch.equal(moved, square(3, 4, 9))


def test_box_text_has_two_decimals():
    assert box_text(torch.tensor([0.3125, 0.2, 0.0, 1.0])) == "[0.31, 0.20, 0.00, 1.00]"


def test_questions_that_name_what_is_shown_are_half_of_the_text():
    pairs = [
        ("is there a blue shape?", "yes"),
        ("is there a red shape?", "no"),
        ("is there a red shape?", "no"),
        ("is there no red shape?", "yes"),
        ("is there a gray shape?", "no"),
    ]
    text = balance(pairs, "a blue circle", common={"a"})
    assert len(text) == 6
    assert text.count(("is there a blue shape?", "yes")) == 3
    assert text.count(("is there a red shape?", "no")) == 1


def test_a_malformed_box_and_a_task_without_examples_are_refused():
    picture = by_image([record("detection", "[0.1]")])[0]
    with pytest.raises(DataError, match=r"a\.png"):
        _ = picture.box
    with pytest.raises(DataError, match="'captioning'"):
        check_mix({"captioning": 3, "detection": 1}, [picture])
