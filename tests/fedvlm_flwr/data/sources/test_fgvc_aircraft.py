"""FGVC-Aircraft's tree becomes questions for the class."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.data.sources.fgvc_aircraft import Params, read
from fedvlm_flwr.errors import ConfigError, DataError
from tests.miniatures.fgvc_aircraft import build

QUESTION = "What is the variant of the aircraft in the image?"


def params(**changes: Any) -> Params:
    values = {
        "label": "variant",
        "train_splits": ["trainval"],
        "test_splits": ["test"],
        "question": QUESTION,
        "answer": "The aircraft in the image is {label}.",
        **changes,
    }
    return typed(Params, values, "reading")


def items(raw: Path, **changes: Any) -> list[Item]:
    return list(read(raw, params(**changes)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


def test_each_picture_asks_for_its_class(raw: Path) -> None:
    found = items(raw)
    assert found[2] == Item(
        id="0056978",
        split="train",
        task="classification",
        picture=raw / "data/images/0056978.jpg",
        image="fgvc_aircraft/0056978.jpg",
        question=QUESTION,
        answer="The aircraft in the image is F/A-18.",
        fields={"manufacturer": "McDonnell Douglas", "family": "F/A-18", "variant": "F/A-18"},
    )
    assert [item.id for item in found if item.split == "test"] == [
        "0817494",
        "0716386",
        "0951982",
        "0731614",
    ]
    assert all(item.picture.is_file() for item in found if isinstance(item.picture, Path))
    assert found == items(raw)


def test_counts_are_those_of_the_splits_asked_for(raw: Path) -> None:
    assert Counter(item.split for item in items(raw)) == {"train": 8, "test": 4}
    found = items(raw, train_splits=["train"], test_splits=["val", "test"])
    assert Counter(item.split for item in found) == {"train": 4, "test": 8}
    assert items(raw) == [*items(raw, train_splits=["train", "val"])]


@pytest.mark.parametrize(
    ("label", "answers"),
    [
        ("manufacturer", ["Boeing", "Boeing", "McDonnell Douglas", "de Havilland"]),
        ("family", ["Boeing 707", "Boeing 737", "F/A-18", "DHC-6"]),
    ],
)
def test_the_level_of_the_class_is_chosen(raw: Path, label: str, answers: list[str]) -> None:
    found = items(raw, label=label, answer="{label}", train_splits=["train"], test_splits=[])
    assert [item.answer for item in found] == answers


def test_the_data_folder_itself_will_do(raw: Path) -> None:
    assert items(raw / "data") == items(raw)


def test_missing_files_are_named(raw: Path) -> None:
    (raw / "data/images_family_test.txt").unlink()
    with pytest.raises(DataError, match=r"There is no .*images_family_test\.txt"):
        items(raw)
    with pytest.raises(DataError, match=r"There is no .*images, which should be the folder"):
        items(raw / "elsewhere")


@pytest.mark.parametrize("line", ["0817494", "Boeing 747-100", ""])
def test_a_line_that_is_no_picture_and_class_is_refused(raw: Path, line: str) -> None:
    path = raw / "data/images_variant_test.txt"
    path.write_text(path.read_text().replace("0817494 747-100", line))
    with pytest.raises(DataError, match=r"Line 1 of .*images_variant_test\.txt is"):
        items(raw)


@pytest.mark.parametrize("level", ["family", "variant"])
def test_files_of_other_pictures_are_refused(raw: Path, level: str) -> None:
    path = raw / f"data/images_{level}_test.txt"
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    with pytest.raises(DataError, match="The picture 0817494 is in only one of"):
        items(raw)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "airline"}, "label='airline' is unknown; choose one of: manu"),
        ({"test_splits": ["validation"]}, r"test_splits\[0\]='validation' is unknown"),
        ({"answer": "an aircraft"}, "must hold {label} exactly once"),
        ({"answer": "{label} is {label}"}, "must hold {label} exactly once"),
        ({"answer": "{label} is what it is"}, "does not give back its class"),
    ],
)
def test_values_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        params(**changes)
