"""FedVLMBench's released rules by hand, their faults among them."""

import pytest

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.conventions.fedvlmbench import each, score

ANSWERS = ["The answer is lung.", "The answer is liver.", "The answer is no."]
CAPTIONS = ["The caption is: a dog runs here.", "It is: two cats sleep.", "It is: a red bus stops."]
BOXES = [f"The coordinates are [0.1, 0.2, 0.{n}, 0.4]." for n in (1, 2, 3)]
REFERENCES = (
    dict.fromkeys(("vqa", "classification"), ANSWERS)
    | dict.fromkeys(("captioning", "report"), CAPTIONS)
    | dict.fromkeys(("detection", "grounding"), BOXES)
)


def test_one_character_is_enough_in_its_scripts_of_several_tasks() -> None:
    said = ["The answer is liver.", "liver", "It is no"]
    assert each("vqa", said, ANSWERS) == {
        "accuracy": [0.0, 0.0, 1.0],
        "accuracy_character": [1.0, 0.0, 1.0],  # "lung" is "liver"; no "is", not right
    }
    assert score("vqa", said, ANSWERS) == {
        "accuracy": pytest.approx(1 / 3),
        "accuracy_character": pytest.approx(2 / 3),
    }


def test_the_first_is_may_stand_inside_a_word() -> None:
    values = each("classification", ["This is a lung."], ["The answer is lung."])
    assert values == {"accuracy": [0.0], "accuracy_character": [0.0]}  # "is a lung" of "This"


def test_captions_without_is_are_not_counted() -> None:
    values = score("captioning", [CAPTIONS[0], "cats", CAPTIONS[2]], CAPTIONS)
    assert values["rouge_l"] == 1.0
    assert values["counted"] == pytest.approx(2 / 3)
    assert score("report", ["cats"] * 3, CAPTIONS) == {"counted": 0.0}


def test_words_stand_between_blanks() -> None:
    said = [text.replace("dog", "Dog,") for text in CAPTIONS]
    assert score("captioning", said, CAPTIONS)["rouge_l"] < 1


@pytest.mark.parametrize(
    ("said", "iou", "counted"),
    [
        ("They are [0.0, 0.0, 0.5, 1.0].", 0.5, 1.0),
        ("nowhere", 0.0, 0.0),  # not in the mean
        ("[0.0, 0.0, 0.5, 1.0]", 0.0, 0.0),  # no "are"
        ("They are [0, 0, 1, 1].", 0.0, 0.0),  # whole numbers are none
        ("They are [0.0, 0.0, 0.5, 1.0] or so.", 0.0, 0.0),
    ],
)
def test_boxes(said: str, iou: float, counted: float) -> None:
    truth = "The coordinates are [0.0, 0.0, 1.0, 1.0]."
    assert score("grounding", [said], [truth]) == {"iou": iou, "counted": counted}
    both = score("grounding", [said, truth], [truth] * 2)  # one that is right beside it
    assert both == {"iou": (1 + iou) / (1 + counted), "counted": (1 + counted) / 2}


def test_labeled_boxes_are_paired_by_their_place() -> None:
    one, two = "{'heart': [0, 0, 1, 1]}", "{'lung': [0, 0, 0.5, 1]}"
    truth = f"The objects are [{one}, {two}]."
    assert score("detection", [truth], [truth])["iou"] == 1
    assert score("detection", [f"They are [{two}, {one}]"], [truth]) == {"iou": 0, "counted": 0}
    half = f"The object is {two.replace('lung', 'heart')}."
    assert score("detection", [half], [f"The object is {one}."])["iou"] == 0.5


def test_other_wording_is_refused() -> None:
    with pytest.raises(DataError, match="'lung' holds no 'is'"):
        score("vqa", ["lung"], ["lung"])
    with pytest.raises(DataError, match="holds no 'are'"):
        score("grounding", ["x"], ["[0.1, 0.1, 0.1, 0.1]"])
