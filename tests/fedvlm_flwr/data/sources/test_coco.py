"""COCO's annotations become questions for a picture's category."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.data.sources.coco import Params, coco_pictures, read, read_instances
from fedvlm_flwr.errors import ConfigError, DataError
from tests.miniatures.coco import build, draw

QUESTION = "What is the main object in the image?"
TRAIN = "annotations/instances_train2017.json"


def params(**changes: Any) -> Params:
    values = {
        "single_category": True,
        "train_splits": ["train2017"],
        "test_splits": ["val2017"],
        "question": QUESTION,
        "answer": "The main object in the image is {label}.",
        **changes,
    }
    return typed(Params, values, "reading")


def items(raw: Path, **changes: Any) -> list[Item]:
    return list(read(raw, params(**changes)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def change(path: Path, how: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    how(content)
    path.write_text(json.dumps(content))


def test_pictures_of_one_category_ask_for_it(raw: Path) -> None:
    found = items(raw)
    assert found[0] == Item(
        id="9",
        split="train",
        task="classification",
        picture=raw / "train2017/000000000009.jpg",
        image="coco/train2017/000000000009.jpg",
        question=QUESTION,
        answer="The main object in the image is hot dog.",
        fields={"supercategory": "food", "category": "hot dog"},
    )
    # 36 and 724 show two categories, 42 only a crowd, 61 nothing; the crowd of 49 does not count.
    assert [(item.id, item.fields["category"]) for item in found] == [
        ("9", "hot dog"),
        ("25", "cat"),
        ("30", "potted plant"),
        ("34", "dog"),
        ("49", "truck"),
        ("139", "person"),
        ("285", "cat"),
        ("632", "truck"),
    ]
    assert Counter(item.split for item in found) == {"train": 5, "test": 3}
    assert all(item.picture.is_file() for item in found if isinstance(item.picture, Path))
    assert found == items(raw)


def test_of_several_categories_the_largest_is_the_label(raw: Path) -> None:
    found = {item.id: item.fields["category"] for item in items(raw, single_category=False)}
    assert found["36"] == "truck"  # 40 x 30 against 10 x 30
    assert found["724"] == "hot dog"  # 20 x 12 against 10 x 10
    assert found.keys() == {"9", "25", "30", "34", "36", "49", "139", "285", "632", "724"}


def test_areas_of_a_category_add_up_and_equal_ones_go_to_the_lowest_id(raw: Path) -> None:
    def even(content: Any) -> None:
        for one in content["annotations"]:
            if one["image_id"] == 36:
                one["area"] = 100

    change(raw / TRAIN, even)
    labels = {item.id: item.fields["category"] for item in items(raw, single_category=False)}
    assert labels["36"] == "person"  # id 1; the truck's is 8

    def another_truck(content: Any) -> None:
        truck = next(one for one in content["annotations"] if one["id"] == 361)
        content["annotations"].append({**truck, "id": 999, "area": 1})

    change(raw / TRAIN, another_truck)
    labels = {item.id: item.fields["category"] for item in items(raw, single_category=False)}
    assert labels["36"] == "truck"


def test_outlines_are_not_kept(raw: Path) -> None:
    assert "segmentation" in json.loads((raw / TRAIN).read_text())["annotations"][0]
    found = read_instances(raw / TRAIN)
    assert not any("segmentation" in one for one in found.annotations.values())
    assert found.annotations[90]["bbox"] == [8.5, 4.25, 32.0, 24.0]


def test_missing_files_and_folders_are_named(raw: Path) -> None:
    with pytest.raises(DataError, match=r"There is no .*instances_val2014\.json"):
        items(raw, test_splits=["val2014"])
    (raw / "val2017").rename(raw / "val")
    with pytest.raises(DataError, match=r"There is no .*val2017, which should be the folder"):
        items(raw)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda content: content.pop("categories"), "has no 'categories'"),
        (lambda content: content.update(images={}), "'images' of .* is no list"),
        (lambda content: content["images"][0].pop("id"), "One of the images of .* has no 'id'"),
        (lambda content: content["images"][0].pop("file_name"), "has no 'file_name'"),
        (lambda content: content["annotations"][0].pop("iscrowd"), "Annotation 90 .*'iscrowd'"),
        (lambda content: content["annotations"][0].pop("area"), "Annotation 90 .* no 'area'"),
        (lambda content: content["annotations"][0].update(image_id=7), "names the image 7"),
        (lambda content: content["annotations"][0].update(category_id=2), "the category 2"),
    ],
)
def test_annotations_that_are_not_cocos_are_refused(
    raw: Path, how: Callable[[Any], object], message: str
) -> None:
    change(raw / TRAIN, how)
    with pytest.raises(DataError, match=message):
        items(raw)


@pytest.mark.parametrize("text", ["", '{"images": [', "[1, 2]"])
def test_a_file_that_is_no_json_object_is_refused(raw: Path, text: str) -> None:
    (raw / TRAIN).write_text(text)
    with pytest.raises(DataError, match=r"instances_train2017\.json (is no JSON|has no 'images')"):
        items(raw)


def test_a_picture_is_found_in_any_year_of_the_tree(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of COCO's picture folders"):
        coco_pictures(tmp_path)
    old, new = "val2014/COCO_val2014_000000000042.jpg", "train2017/000000000042.jpg"
    draw(tmp_path / new, 42, (8, 6))
    assert coco_pictures(tmp_path).find(42) == (tmp_path / new, f"coco/{new}")
    assert coco_pictures(tmp_path).find(43)[1] == "coco/train2017/000000000043.jpg"
    draw(tmp_path / old, 42, (8, 6))
    assert coco_pictures(tmp_path).find(42) == (tmp_path / old, f"coco/{old}")


@pytest.mark.parametrize("answer", ["an object", "{label} and {label}", "{label} is there"])
def test_forms_that_give_no_class_are_refused(answer: str) -> None:
    with pytest.raises(ConfigError, match="answer="):
        params(answer=answer)
