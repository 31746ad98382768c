from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import easy_vqa
import pytest
from omegaconf import OmegaConf
from PIL import Image, ImageChops

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.federated import FederatedData, check_pictures, examples
from fedvlm_flwr.data.sets import easyvqa
from fedvlm_flwr.data.shape_pixels import MeasuredShape
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.boxes import format_box

CONF = Path(__file__).parents[3] / "conf"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> FederatedData:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDVLM_HOME", str(tmp_path_factory.mktemp("home")))
        return easyvqa.load(easyvqa.Params())


def test_every_official_question_is_in_one_table(full: FederatedData) -> None:
    assert Counter(full.public()["task"]) + Counter(full.train["task"]) == {
        "vqa": 38_575,
        "classification": 8_000,
        "captioning": 4_000,
        "detection": 4_000,
    }
    assert Counter(full.test["task"]) == {
        "vqa": 9_673,
        "classification": 2_000,
        "captioning": 1_000,
        "detection": 1_000,
    }
    official = Counter(zip(*easy_vqa.get_test_questions(), strict=True))
    ours = [e for e in examples(full.test, full.root) if e.task == "vqa"]
    assert Counter((e.question, e.answer, int(e.images[0].stem)) for e in ours) == official


def test_no_picture_is_in_two_tables(full: FederatedData) -> None:
    seen = [set(table["image"]) for table in (full.public(), full.train, full.test)]
    assert [len(pictures) for pictures in seen] == [2_000, 2_000, 1_000]
    assert not seen[0] & seen[1]
    ids = [*full.public()["id"], *full.train["id"], *full.test["id"]]
    assert len(set(ids)) == len(ids) == 27_210 + 27_365 + 13_673


def test_boxes_agree_with_an_independent_measurement(small_easyvqa: FederatedData) -> None:
    found = examples(small_easyvqa.train, small_easyvqa.root)
    boxes = {e.images[0]: e.answer for e in found if e.task == "detection"}
    assert len(boxes) == 30
    for path, answer in boxes.items():
        picture = Image.open(path)
        corners = [picture.getpixel(at) for at in ((0, 0), (0, 63), (63, 0), (63, 63))]
        plain = Image.new("RGB", picture.size, max(corners, key=corners.count))
        box = ImageChops.difference(picture, plain).getbbox()
        assert box is not None
        left, top, right, bottom = box
        sizes = (left / 64, top / 64, (right - left) / 64, (bottom - top) / 64)
        assert answer == format_box(sizes, 2)


def test_the_four_tasks_of_a_picture(small_easyvqa: FederatedData) -> None:
    first = [r for r in small_easyvqa.train if r["image"] == "data/train/images/2000.png"]
    said: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for e in examples(small_easyvqa.train, small_easyvqa.root, range(len(first))):
        said[e.task].append((e.question, e.answer))
    assert ("what shape is in the image?", "rectangle") in said["vqa"]
    assert said["classification"] == [
        ("which shape is this?", "rectangle"),
        ("which color is this?", "black"),
    ]
    assert said["captioning"] == [("describe the image.", "a black rectangle")]
    assert [question for question, _ in said["detection"]] == ["where is the shape?"]
    assert {r["shape_color"] for r in first} == {"black rectangle"}
    assert first[0]["conversations"][0] == {
        "from": "human",
        "value": "<image>\nwhat shape is in the image?",
    }


def test_pictures_can_be_read(small_easyvqa: FederatedData) -> None:
    check_pictures(examples(small_easyvqa.test, small_easyvqa.root))


def test_a_second_load_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    params = easyvqa.Params(["detection", "vqa"], 3, 2)
    built = easyvqa.load(params)
    assert len(set(built.train["image"])) == 3
    assert set(built.test["task"]) == {"vqa", "detection"}
    monkeypatch.setattr(easyvqa, "measure", None)
    assert easyvqa.load(params).test[:] == built.test[:]


def test_records_keep_their_names_when_other_tasks_are_left_out(
    small_easyvqa: FederatedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    only = easyvqa.load(easyvqa.Params(["captioning"], 30, 20))
    assert only.test["id"][:] == [i for i in small_easyvqa.test["id"] if "captioning" in i]


def test_a_damaged_cache_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    params = easyvqa.Params(["captioning"], 3, 2)
    easyvqa.load(params)
    (folder,) = (tmp_path / "datasets").glob("easyvqa-*")
    (folder / "test.arrow").write_bytes(b"")
    with pytest.raises(DataError, match=f"{folder} are damaged"):
        easyvqa.load(params)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what color is the shape?", "red"),
        ("what color is the circle?", "blue"),
        ("what is the red shape?", "rectangle"),
        ("is there a blue shape?", "no"),
        ("is there not a rectangle?", "yes"),
        ("does the image contain a circle?", "yes"),
        ("is no triangle present?", "no"),
    ],
)
def test_a_question_that_contradicts_the_pixels_is_refused(question: str, answer: str) -> None:
    seen = MeasuredShape("rectangle", "blue", (0.0, 0.0, 1.0, 1.0))
    with pytest.raises(DataError, match=r"7\.png shows a blue rectangle"):
        easyvqa.check_labels(
            "7.png", seen, [("what shape is present?", "rectangle"), (question, answer)]
        )


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"tasks": ["vqa", "segmentation"]}, "'segmentation'.*vqa, classification"),
        ({"tasks": []}, "at least one"),
        ({"tasks": ["vqa", "vqa"]}, "each once"),
        ({"train_pictures": 0}, "train_pictures=0 must be in"),
        ({"train_pictures": 2001}, r"2001 must be in \[1, 2000\]"),
        ({"test_pictures": 1001}, r"1001 must be in \[1, 1000\]"),
        ({"test_pictures": "many"}, "test_pictures='many' must be of type int"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        typed(easyvqa.Params, values, "dataset")


def test_the_shipped_yaml_takes_everything() -> None:
    values: Any = OmegaConf.to_container(OmegaConf.load(CONF / "dataset" / "easyvqa.yaml"))
    assert values.pop("name") == "easyvqa"
    whole = easyvqa.Params(headlines=values["headlines"])
    assert typed(easyvqa.Params, values, "dataset") == whole
