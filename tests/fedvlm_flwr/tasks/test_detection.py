"""Detection, by hand."""

import pytest

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.base import Reference
from fedvlm_flwr.tasks.detection import each, majority, score

REFERENCES = [
    "{'heart': [0, 0, 1, 1], 'lung': [0.5, 0, 0.5, 1]}",
    "[0.1, 0.2, 0.3, 0.4]",
    "[0, 0, 1, 1]",
]
LONG_REFERENCE = "[{'heart': [0, 0, 1, 1]}, {'lung': [0, 0, 0.5, 1]}]"
BOXES_IN = {"question", "answer"}
UNIT = "[0, 0, 1, 1]"
HALF, LEFT = "[0, 0, 0.5, 1]", "[0, 0, 0.25, 1]"


def example_iou(said: str, truth: str) -> float:
    return score([said], [truth])["iou"]


def test_an_unparseable_box_counts_as_zero_in_the_mean() -> None:
    assert score([UNIT, "no idea"], [UNIT, UNIT]) == {
        "iou": 0.5,
        "accuracy_iou50": 0.5,
        "unparseable": 0.5,
    }


def test_accuracy_counts_from_one_half() -> None:
    said = [HALF, "[0, 0, 0.49, 1]", "[0, 0, 0, 0]", UNIT]
    scores = score(said, [UNIT] * 4)
    assert scores["iou"] == pytest.approx((0.5 + 0.49 + 0 + 1) / 4)
    assert scores["accuracy_iou50"] == 0.5
    assert scores["unparseable"] == 0.0


@pytest.mark.parametrize(
    ("said", "truth", "right"),
    [
        (f"{UNIT}, {LEFT}", f"{UNIT}, {HALF}", True),  # 1 and 1/2
        (f"{UNIT}, {LEFT}", f"{UNIT}, {UNIT}", False),  # 1 and 1/4: a mean of 0.625
        (f"{UNIT}, {UNIT}", UNIT, False),  # one too many: a mean of 0.5
        (UNIT, f"{UNIT}, {UNIT}", False),  # one too few: a mean of 0.5
        (f"{{'heart': {UNIT}, 'lung': {UNIT}}}", f"{{'heart': {UNIT}, 'liver': {UNIT}}}", False),
    ],
)
def test_an_example_is_right_if_each_of_its_objects_is(said: str, truth: str, right: bool) -> None:
    assert score([said], [truth])["accuracy_iou50"] == float(right)
    assert example_iou(said, truth) >= 0.5


def test_every_example_has_its_value() -> None:
    values = each([HALF, "no idea", LEFT], [UNIT] * 3)
    assert values == {
        "iou": [0.5, 0.0, 0.25],
        "accuracy_iou50": [1.0, 0.0, 0.0],
        "unparseable": [0.0, 1.0, 0.0],
    }


def test_integers_are_as_good_as_decimals() -> None:
    assert score(["[0, 0, 1, 1]"], ["[0.00, 0.00, 1.00, 1.00]"])["iou"] == 1.0
    assert example_iou("[10, 20, 30, 40]", "[10, 20, 30, 80]") == 0.5  # pixels


def test_what_could_be_evaluated_is_text() -> None:
    scores = score(["__import__('os').abort()", "[0, 0, 1, 2-1]"], [UNIT, UNIT])
    assert scores == {"iou": 0.0, "accuracy_iou50": 0.0, "unparseable": 1.0}


def test_boxes_too_many_and_too_few_cost_the_same() -> None:
    assert example_iou(f"{UNIT}, {UNIT}", UNIT) == 0.5
    assert example_iou(UNIT, f"{UNIT}, {UNIT}") == 0.5


def test_boxes_are_matched_by_label_whatever_their_order() -> None:
    truth = f"[{{'heart': {UNIT}}}, {{'left lung': {HALF}}}]"
    assert example_iou(truth, truth) == 1.0
    assert example_iou(f"{{'The left lung.': {HALF}, 'Heart': {UNIT}}}", truth) == 1.0
    # The heart of IoU 1/2 is all that matches: 0.5 of two boxes.
    assert example_iou(f"{{'heart': {HALF}, 'right lung': {HALF}}}", truth) == 0.25
    assert example_iou(f"{{'heart': {HALF}}}, {{'left lung': {UNIT}}}", truth) == 0.5


def test_no_label_matches_only_no_label() -> None:
    assert example_iou(UNIT, f"{{'lung': {UNIT}}}") == 0.0
    assert example_iou(f"{{'liver': {UNIT}}}", f"{{'lung': {UNIT}}}") == 0.0
    assert example_iou(f"{{'lung': {UNIT}}}", UNIT) == 0.0


def test_within_a_label_the_best_pair_goes_first_and_each_box_once() -> None:
    # IoUs of HALF and LEFT with UNIT and HALF: 1/2, 1 and 1/4, 1/2. First HALF with HALF: 1; what
    # is left is LEFT with UNIT: 1/4.
    assert example_iou(f"{HALF}, {LEFT}", f"{UNIT}, {HALF}") == (1 + 0.25) / 2
    assert example_iou(f"{LEFT}, {HALF}", f"{HALF}, {UNIT}") == (1 + 0.25) / 2


def test_an_answer_of_the_blind_is_the_box_of_the_medians() -> None:
    boxes = ["[0.1, 0.5, 0.2, 0.9]", "[0.2, 0.1, 0.2, 0.1]", "[0.9, 0.3, 0.4, 0.2]"]
    assert majority(boxes) == "[0.20, 0.30, 0.20, 0.20]"
    assert majority(boxes[:2]) == "[0.15, 0.30, 0.20, 0.50]"


def test_the_blind_name_what_half_of_the_references_hold() -> None:
    references = [
        "{'heart': [0, 0, 0.2, 0.2], 'lung': [0.5, 0, 0.1, 0.1]}",
        "{'Heart': [0, 0, 0.4, 0.6], 'liver': [0.5, 0, 0.1, 0.1]}",
        "{'heart': [0, 0, 0.6, 0.4], 'lung': [0.7, 0, 0.1, 0.1]}",
        "{'spleen': [0, 0, 1, 1]}",
    ]
    heart, lung = "{'heart': [0.00, 0.00, 0.40, 0.40]}", "{'lung': [0.60, 0.00, 0.10, 0.10]}"
    assert majority(references) == f"[{heart}, {lung}]"
    rare = [f"{{'{name}': {UNIT}}}" for name in ("spleen", "liver", "heart", "liver", "lung")]
    assert majority(rare) == "{'liver': [0.00, 0.00, 1.00, 1.00]}"


def test_a_reference_without_a_box_is_refused() -> None:
    for call in (score, each):
        with pytest.raises(DataError, match="reference 'nowhere' holds no box"):
            call([UNIT], ["nowhere"])
    with pytest.raises(DataError, match="reference 'nowhere' holds no box"):
        majority(["nowhere"])


def test_the_best_of_several_references_counts() -> None:
    truth = [Reference("[0.1, 0.1, 0.2, 0.2]", ["[0.5, 0.5, 0.2, 0.2]"])]
    assert score(["[0.5, 0.5, 0.2, 0.2]"], truth)["iou"] == pytest.approx(1)
