import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.sources import vqa_rad
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.errors import ConfigError, DataError
from tests.miniatures import hub
from tests.miniatures import vqa_rad as miniature

FILE = "VQA_RAD Dataset Public.json"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    miniature.build(tmp_path)
    return tmp_path


def params(**changes: Any) -> vqa_rad.Params:
    values = {"train_splits": ["train"], "test_splits": ["test"]}
    return typed(vqa_rad.Params, {**values, **changes}, "vqa_rad")


def read(raw: Path, **changes: Any) -> list[Item]:
    return list(vqa_rad.read(raw, params(**changes)))


def test_an_item_is_what_the_file_says_without_its_blanks(raw: Path) -> None:
    assert read(raw)[1] == Item(
        id="2",
        split="train",
        task="vqa",
        picture=raw / "VQA_RAD Image Folder" / "synpic54610.jpg",
        image="vqa_rad/synpic54610.jpg",
        question="Is there evidence of infarcts?",
        answer="Yes",
        fields={"organ": "HEAD", "question_type": "PRES", "answer_type": "CLOSED"},
    )


def test_phrase_types_tell_the_split(raw: Path) -> None:
    items = read(raw)
    assert Counter(item.split for item in items) == {"train": 9, "test": 4}
    assert [item.id for item in items] == [str(i) for i in range(1, 14)]
    assert {item.fields["organ"] for item in items} == {"HEAD", "CHEST", "ABD"}
    assert Counter(item.split for item in read(raw, test_splits=[])) == {"train": 9}


def test_numeric_answers_become_text(raw: Path) -> None:
    answers = {item.question: item.answer for item in read(raw)}
    assert answers["How many ribs are fractured?"] == "2"
    assert answers["How wide is the heart in cm?"] == "12.5"


def test_pictures_are_there_and_reading_twice_gives_the_same(raw: Path) -> None:
    items = read(raw)
    assert items == read(raw)
    colours = set()
    for item in items:
        assert isinstance(item.picture, Path)
        with Image.open(item.picture) as picture:
            colours.add(picture.getpixel((0, 0)))
    assert len(colours) == len({item.image for item in items}) == 7


def test_the_mirror_gives_the_same_questions_without_fields(tmp_path: Path) -> None:
    raw, parquet, saved = (tmp_path / name for name in ("own", "parquet", "saved"))
    miniature.build(raw)
    hub.build_vqa_rad(parquet)
    hub.build_saved_vqa_rad(saved)
    own = read(raw)
    for folder in (parquet, saved):
        items = read(folder)
        assert [(i.split, i.question, i.answer) for i in items] == [
            (i.split, i.question.lower(), i.answer.lower()) for i in own
        ]
        assert [items[0].id, items[9].id] == ["train-0", "test-0"]
        assert items[2].picture is items[9].picture is not items[0].picture
        assert items[2].image == items[9].image
        assert all(item.fields == {} for item in items)


def test_the_published_file_comes_before_a_mirror_beside_it(raw: Path) -> None:
    items = read(raw)
    hub.build_vqa_rad(raw / "mirror")
    assert read(raw) == items


def test_malformed_files_are_errors(raw: Path) -> None:
    whole = (raw / FILE).read_text()
    for text, why in (
        ("[", "is no JSON"),
        ('{"1": []}', "holds no list of questions"),
        (whole.replace('"phrase_type"', '"phrase"'), "Record 0 of .* has no 'phrase_type'"),
        (whole.replace('"image_organ"', '"organ"'), "Record 0 of .* has no 'image_organ'"),
        ("[3]", "Record 0 of .* has no 'phrase_type'"),
    ):
        (raw / FILE).write_text(text)
        with pytest.raises(DataError, match=why):
            read(raw)
    (raw / FILE).unlink()
    with pytest.raises(DataError, match=f"There is no {raw}/{FILE}"):
        read(raw)


def test_an_answer_of_null_is_left_to_the_check(raw: Path) -> None:
    records = json.loads((raw / FILE).read_text())
    records[0]["answer"] = None
    (raw / FILE).write_text(json.dumps(records))
    assert read(raw)[0].answer == ""


def test_another_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="'validate' is unknown; choose one of: train, test"):
        params(train_splits=["train", "validate"])
