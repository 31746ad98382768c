"""The grammar of boxes in text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.boxes import (
    Box,
    LabeledBox,
    change_boxes,
    format_box,
    format_boxes,
    iou,
    parse_boxes,
)

ONE, TWO = (0.0, 0.0, 1.0, 1.0), (0.1, 0.2, 0.3, 0.4)

hundredths = st.integers(0, 100).map(lambda number: number / 100)
boxes = st.tuples(hundredths, hundredths, hundredths, hundredths)
labels = st.text(min_size=1, max_size=100).filter(lambda text: not ("'" in text and '"' in text))
found = st.lists(st.builds(LabeledBox, boxes, st.none() | labels), max_size=6)


def test_iou_by_hand() -> None:
    # Two squares of side 0.4 that overlap in one of side 0.2: 0.04 / (0.16 + 0.16 - 0.04) = 1/7.
    assert iou((0, 0, 0.4, 0.4), (0.2, 0.2, 0.4, 0.4)) == pytest.approx(1 / 7)
    assert iou((0, 0, 0.5, 1), (0, 0, 1, 1)) == pytest.approx(0.5)
    assert iou((0, 0, 1, 1), (0, 0, 1, 1)) == 1.0
    assert iou((0, 0, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)) == 0.0  # they touch
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("[0.31, 0.20, 0.45, 0.45]", (0.31, 0.2, 0.45, 0.45)),
        ("the box is [0, 0, 1, 1].", (0, 0, 1, 1)),
        ("[10,20,300,40]", (10, 20, 300, 40)),
        ("[ -.5 , +1. ,\n0.5,2 ]", (-0.5, 1, 0.5, 2)),
        ("[[[0.1, 0.2, 0.3, 0.4]]]", (0.1, 0.2, 0.3, 0.4)),
        ("[1, 2] or [1, 2, -3, 4] or [1, 2, 3, 4] or [1, 2, 3", (1, 2, 3, 4)),
    ],
)
def test_boxes_that_parse(text: str, box: Box) -> None:
    assert parse_boxes(text) == [LabeledBox(box)]


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
        "[__import__('os').system('true'), 0, 1, 1]",
        "[" + "9" * 400 + ", 0, 1, 1]",
        "[\u0663, 0, 1, 1]",  # a digit, but not one of ours
    ],
)
def test_what_is_no_box(text: str) -> None:
    assert parse_boxes(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("object is {'heart': [0, 0, 1, 1]}.", [LabeledBox(ONE, "heart")]),
        ('{"patient\'s heart" : [0, 0, 1, 1]}', [LabeledBox(ONE, "patient's heart")]),
        (
            "objects are [{'heart': [0, 0, 1, 1]}, {'left lung': [0.1, 0.2, 0.3, 0.4]}].",
            [LabeledBox(ONE, "heart"), LabeledBox(TWO, "left lung")],
        ),
        ("{'a': [0,0,1,1], \"b\": [.1,.2,.3,.4]}", [LabeledBox(ONE, "a"), LabeledBox(TWO, "b")]),
        ("{'\\'': [0, 0, 1, 1]}", [LabeledBox(ONE)]),  # a backslash hides no quote
        ("{'[5, 5, 5, 5]': [0, 0, 1, 1]}", [LabeledBox(ONE, "[5, 5, 5, 5]")]),
        ("'heart': [0, 0, 1, 1]", [LabeledBox(ONE)]),
        ("{'heart': [0, 0, 1, 1]", [LabeledBox(ONE)]),
        ("{heart: [0, 0, 1, 1]}", [LabeledBox(ONE)]),
        ("{'': [0, 0, 1, 1]}", [LabeledBox(ONE)]),
        ("{'" + "a" * 100 + "': [0, 0, 1, 1]}", [LabeledBox(ONE, "a" * 100)]),
        ("{'" + "a" * 101 + "': [0, 0, 1, 1]}", [LabeledBox(ONE)]),
        ("{'a': __import__('os').system('true')}", []),
    ],
)
def test_labels_stand_in_braces(text: str, expected: list[LabeledBox]) -> None:
    assert parse_boxes(text) == expected


def test_how_boxes_are_written() -> None:
    assert format_box((0.3125, 0.2, 1, 0.449), 2) == "[0.31, 0.20, 1.00, 0.45]"
    assert format_box((-0.001, 0, 1, 1), 2) == "[0.00, 0.00, 1.00, 1.00]"
    first, second = "[0.00, 0.00, 1.00, 1.00]", "[0.10, 0.20, 0.30, 0.40]"
    assert format_box((1 / 3, 0.5, 0.125, -1e-9), None) == "[0.333333, 0.50, 0.125, 0.00]"
    assert format_boxes([], 2) == "[]"
    assert format_boxes([LabeledBox(ONE)], 2) == first
    assert format_boxes([LabeledBox(ONE), LabeledBox(TWO)], 2) == f"{first}, {second}"
    assert format_boxes([LabeledBox(ONE, "heart")], 2) == f"{{'heart': {first}}}"
    several = [LabeledBox(ONE, "heart"), LabeledBox(TWO, "patient's lung"), LabeledBox(TWO)]
    assert (
        format_boxes(several, 2)
        == f"[{{'heart': {first}}}, {{\"patient's lung\": {second}}}, {second}]"
    )


@pytest.mark.parametrize("label", ["", "a" * 101, "5' 6\""])
def test_a_label_that_would_not_be_read_back_is_refused(label: str) -> None:
    with pytest.raises(DataError, match="cannot be written beside a box"):
        format_boxes([LabeledBox(ONE, label)], 2)


@given(found)
def test_what_is_written_is_read_back(several: list[LabeledBox]) -> None:
    assert parse_boxes(format_boxes(several, 2)) == several
    assert parse_boxes(f"They are {format_boxes(several, 2)}.\n") == several


def test_changed_boxes_stand_in_the_old_text() -> None:
    text = "a [0,0, 1,1] {\"b\": [0.1, .2, 3e-1, 0], 'c': [ 0.125, 0, 1, 1 ]} [[0.5,0,0.5,1]]. [1]"
    assert change_boxes(text, lambda box: box, None) == text
    assert change_boxes("[0.1234, 0.2, 0.3, 0.4]", lambda box: box, 3) == (
        "[0.123, 0.200, 0.300, 0.400]"
    )

    def moved(box: Box) -> Box:
        return box if box[0] == 0 else (box[0] + 0.25, *box[1:])

    assert change_boxes(text, moved, 2) == (
        "a [0,0, 1,1] {\"b\": [0.1, .2, 3e-1, 0], 'c': [0.38, 0.00, 1.00, 1.00]} "
        "[[0.75, 0.00, 0.50, 1.00]]. [1]"
    )


@given(found)
def test_a_change_reaches_every_box_that_is_read(several: list[LabeledBox]) -> None:
    changed = change_boxes(format_boxes(several, 2), lambda box: (9.0, *box[1:]), 2)
    assert parse_boxes(changed) == [LabeledBox((9.0, *one.box[1:]), one.label) for one in several]


NONSENSE = ["[", "[1,", "[1,1,1,1", "[ ", "[1,1,-1,1]", "[         111111111", "1", "[]", "[0.0,"]
NONSENSE += ["{", "{'", "'", '"', "'\"", "{'a", "{'a':", "{'a': [", "{\"'\": {'", "[{", "\u0663"]
NONSENSE += ["{'" + "a" * 99, '{"{\'":', "[\u0663,", "\u202e\U0001f600", "{'a': [1,1,1,-1],"]


@pytest.mark.parametrize("unit", NONSENSE)
def test_ten_megabytes_of_nonsense_take_less_than_a_second(unit: str) -> None:
    text = unit * (10_000_000 // len(unit))
    start = time.process_time()
    assert parse_boxes(text) == []
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "unit", ["{'\"': [1,1,1,1],\"{'\":[1,1,1,1],", "'[1,1,1,1]':{", "{'a':[1,1,1,1],"]
)
def test_the_time_is_linear_in_unclosed_braces_full_of_boxes(unit: str) -> None:
    def seconds(repeats: int) -> float:
        start = time.process_time()
        assert len(parse_boxes("{" + unit * repeats)) >= repeats
        return time.process_time() - start

    assert seconds(60_000) < 40 * max(seconds(6_000), 0.005)
