import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.sources import slake
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.errors import ConfigError, DataError
from tests.miniatures import hub
from tests.miniatures import slake as miniature


def params(**changes: Any) -> slake.Params:
    values = {
        "languages": ["en"],
        "train_splits": ["train", "validate"],
        "test_splits": ["test"],
        "split": "published",
        "regions": {"head": ["Brain", "Neck"], "chest": ["Lung"], "abdomen": ["Abdomen"]},
    }
    return typed(slake.Params, {**values, **changes}, "slake")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    miniature.build(tmp_path)
    return tmp_path


def read(raw: Path, **changes: Any) -> list[Item]:
    return list(slake.read(raw, params(**changes)))


def test_an_item_is_what_the_file_says(raw: Path) -> None:
    assert read(raw)[4] == Item(
        id="6",
        split="train",
        task="vqa",
        picture=raw / "imgs" / "xmlab3" / "source.jpg",
        image="slake/xmlab3/source.jpg",
        question="How many eyes are there?",
        answer="2",
        fields={
            "organ": "Brain",
            "modality": "CT",
            "content_type": "Quantity",
            "answer_type": "OPEN",
            "language": "en",
            "region": "head",
        },
    )


def test_one_split_by_picture_serves_both_languages(raw: Path) -> None:
    straddle(raw)
    both = {"languages": ["en", "zh"]}
    split_of = {item.id: item.split for item in read(raw, **both)}
    assert (split_of["12"], split_of["99"]) == ("test", "train")  # of one picture
    by_picture = read(raw, split="picture", **both)
    assert {one.id: one.split for one in by_picture} == split_of | {"99": "test"}
    assert read(raw, split="picture") == read(raw)  # English alone has nothing to mend
    with pytest.raises(ConfigError, match=r"split='patient'.*published, picture"):
        read(raw, split="patient")


def straddle(raw: Path) -> None:
    """A Chinese training question on a picture that English ones test."""
    path = raw / "train.json"
    records = json.loads(path.read_text(encoding="utf-8"))
    more = miniature.record(
        (7, "Lung", "X-Ray", "CLOSED", "Organ", "图片中有肺吗？", "是"),  # noqa: RUF001
        99,
    )
    path.write_text(json.dumps([*records, more]), encoding="utf-8")


def test_english_is_asked_in_all_splits_and_chinese_by_option(raw: Path) -> None:
    assert Counter(item.split for item in read(raw)) == {"train": 9, "test": 3}
    chinese = read(raw, languages=["zh"])
    assert [(item.id, item.split) for item in chinese] == [
        ("2", "train"),
        ("5", "train"),
        ("11", "train"),
        ("15", "test"),
    ]
    assert (chinese[1].question, chinese[1].answer) == ("肺部健康吗？", "否")  # noqa: RUF001
    both = read(raw, languages=["en", "zh"])
    assert {item.id for item in both} == {str(i) for i in range(16)}
    assert {item.fields["organ"] for item in both} == {"Abdomen", "Lung", "Brain", "Neck"}


def test_pictures_are_there_and_reading_twice_gives_the_same(raw: Path) -> None:
    items = read(raw)
    assert items == read(raw)
    assert all(isinstance(item.picture, Path) and item.picture.is_file() for item in items)


def test_own_splits_are_chosen(raw: Path) -> None:
    items = read(raw, train_splits=["train"], test_splits=["validate"])
    assert Counter(item.split for item in items) == {"train": 7, "test": 2}


def test_the_validation_split_is_found_under_both_names(raw: Path) -> None:
    items = read(raw)
    (raw / "validate.json").rename(raw / "validation.json")
    assert read(raw) == items
    assert read(raw, train_splits=["train", "validation"]) == items


def test_an_empty_answer_and_a_missing_picture_are_left_to_the_check(raw: Path) -> None:
    records = json.loads((raw / "test.json").read_text())
    records[0]["answer"] = ""
    records[1]["img_name"] = "xmlab99/source.jpg"
    (raw / "test.json").write_text(json.dumps(records))
    test = [item for item in read(raw) if item.split == "test"]
    assert [item.answer for item in test] == ["", "Gray", "MRI"]
    assert test[1].picture == raw / "imgs" / "xmlab99" / "source.jpg"


def test_slakes_own_files_come_before_a_mirror_beside_them(raw: Path) -> None:
    items = read(raw)
    hub.build_slake(raw / "mirror", languages=False)
    assert read(raw) == items


def test_an_english_mirror_has_no_fields(tmp_path: Path) -> None:
    hub.build_slake(tmp_path, languages=False)
    items = read(tmp_path)
    assert Counter(item.split for item in items) == {"train": 9, "test": 3}
    assert (items[7].id, items[7].question) == ("validation-0", "Is this a transverse plane?")
    assert items[7].picture == hub.picture(5)
    assert items[0].image == items[1].image != items[2].image
    assert all(item.fields == {} for item in items)
    assert items == read(tmp_path)
    with pytest.raises(ConfigError, match=r"languages=\['en', 'zh'\].*no column q_lang"):
        read(tmp_path, languages=["en", "zh"])


def test_a_bilingual_mirror_has_the_fields_of_its_columns(tmp_path: Path) -> None:
    hub.build_slake(tmp_path, languages=True)
    items = read(tmp_path, languages=["zh"])
    assert [item.id for item in items] == ["train-2", "train-5", "validation-2", "test-3"]
    assert items[0].fields == {
        "organ": "Abdomen",
        "modality": "MRI",
        "language": "zh",
        "region": "abdomen",
    }


def test_a_location_of_no_region_is_named(raw: Path) -> None:
    with pytest.raises(
        DataError, match=r"'Neck', which is in none of the regions.*reading\.regions"
    ):
        read(raw, regions={"head": ["Brain"], "chest": ["Lung"], "abdomen": ["Abdomen"]})


def test_malformed_files_are_errors(raw: Path) -> None:
    whole = (raw / "test.json").read_text()
    for text, why in (
        ("{", rf"{raw}/test\.json is no JSON"),
        ("{}", r"test\.json holds no list of questions"),
        ('[{"q_lang": "en"}]', r"Record 0 of .*test\.json has no 'img_name'"),
        (whole.replace('"location"', '"organ"'), r"Record 0 of .* has no 'location'"),
        ('["x"]', r"Record 0 of .*test\.json has no 'q_lang'"),
    ):
        (raw / "test.json").write_text(text)
        with pytest.raises(DataError, match=why):
            read(raw)
    (raw / "test.json").unlink()
    with pytest.raises(DataError, match=rf"There is no {raw}/test\.json"):
        read(raw)


@pytest.mark.parametrize("languages", [[], ["de"], ["en", "fr"]])
def test_other_languages_are_refused(languages: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"languages=.* must name some of en, zh"):
        params(languages=languages)
