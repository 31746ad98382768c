import time

import pytest

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.detection import Box, format_box, iou, majority, parse_box, score

UNIT = "[0, 0, 1, 1]"


def test_iou_by_hand() -> None:
    # Two squares of side 0.4 that overlap in one of side 0.2: 0.04 / (0.16 + 0.16 - 0.04) = 1/7.
    assert iou((0, 0, 0.4, 0.4), (0.2, 0.2, 0.4, 0.4)) == pytest.approx(1 / 7)
    assert iou((0, 0, 0.5, 1), (0, 0, 1, 1)) == pytest.approx(0.5)
    assert iou((0, 0, 1, 1), (0, 0, 1, 1)) == 1.0
    assert iou((0, 0, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)) == 0.0  # they touch
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_an_unparseable_box_counts_as_zero_in_the_mean() -> None:
    assert score([UNIT, "no idea"], [UNIT, UNIT]) == {
        "iou": 0.5,
        "accuracy_iou50": 0.5,
        "unparseable": 0.5,
    }


def test_accuracy_counts_from_one_half() -> None:
    said = ["[0, 0, 0.5, 1]", "[0, 0, 0.49, 1]", "[0, 0, 0, 0]", UNIT]
    scores = score(said, [UNIT] * 4)
    assert scores["iou"] == pytest.approx((0.5 + 0.49 + 0 + 1) / 4)
    assert scores["accuracy_iou50"] == 0.5
    assert scores["unparseable"] == 0.0


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("[0.31, 0.20, 0.45, 0.45]", (0.31, 0.2, 0.45, 0.45)),
        ("the box is [0, 0, 1, 1].", (0, 0, 1, 1)),
        ("[10,20,300,40]", (10, 20, 300, 40)),
        ("[ -.5 , +1. ,\n0.5,2 ]", (-0.5, 1, 0.5, 2)),
        ("[[[0.1, 0.2, 0.3, 0.4]]]", (0.1, 0.2, 0.3, 0.4)),
        ("{'heart': [0, 0, 1, 1]}", (0, 0, 1, 1)),
        ("[1, 2] or [1, 2, -3, 4] or [1, 2, 3, 4] or [5, 6, 7, 8]", (1, 2, 3, 4)),
    ],
)
def test_boxes_that_parse(text: str, box: Box) -> None:
    assert parse_box(text) == box


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0, 0, 1, 1",
        "(0, 0, 1, 1)",
        "[0, 0, 1]",
        "[0, 0, 1, 1, 1]",
        "[0, 0, 1, 1",
        "[0, 0, -1, 1]",
        "[0, 0, 1, -0.1]",
        "[nan, 0, 1, 1]",
        "[inf, 0, 1, 1]",
        "[1e9, 0, 1, 1]",
        "[., 0, 1, 1]",
        "[0 0, 0, 1, 1]",
        "[__import__('os'), 0, 1, 1]",
        "[" + "9" * 400 + ", 0, 1, 1]",
        "[\u0663, 0, 1, 1]",  # a digit, but not one of ours
    ],
)
def test_what_is_no_box(text: str) -> None:
    assert parse_box(text) is None


@pytest.mark.parametrize(
    "unit", ["[", "[1,", "[1,1,1,1", "[ ", "[1,1,-1,1]", "[         111111111", "1", "[]", "[0.0,"]
)
def test_ten_megabytes_of_nonsense_take_less_than_a_second(unit: str) -> None:
    text = unit * (10_000_000 // len(unit))
    start = time.process_time()
    assert parse_box(text) is None
    assert time.process_time() - start < 1


def test_an_answer_of_the_blind_is_the_box_of_the_medians() -> None:
    boxes = ["[0.1, 0.5, 0.2, 0.9]", "[0.2, 0.1, 0.2, 0.1]", "[0.9, 0.3, 0.4, 0.2]"]
    assert majority(boxes) == "[0.20, 0.30, 0.20, 0.20]"
    assert majority(boxes[:2]) == "[0.15, 0.30, 0.20, 0.50]"


def test_a_box_is_written_with_two_decimals() -> None:
    assert format_box((0.3125, 0.2, 1, 0.449)) == "[0.31, 0.20, 1.00, 0.45]"
    assert parse_box(format_box((0.25, 0.5, 1, 0))) == (0.25, 0.5, 1, 0)


def test_a_reference_without_a_box_is_refused() -> None:
    with pytest.raises(DataError, match="reference 'nowhere' holds no box"):
        score([UNIT], ["nowhere"])
