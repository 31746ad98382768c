"""COCO-QA's line-aligned files become questions on COCO's pictures."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.data.sources.coco_qa import Params, read
from fedvlm_flwr.errors import ConfigError, DataError
from tests.miniatures.coco import draw
from tests.miniatures.coco_qa import build


def params(**changes: Any) -> Params:
    values = {
        "pictures": "../coco",
        "train_splits": ["train"],
        "test_splits": ["test"],
        "question": "{question}?",
        "answer": "{answer}",
        **changes,
    }
    return typed(Params, values, "reading")


def items(raw: Path, **changes: Any) -> list[Item]:
    return list(read(raw, params(**changes)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    build(tmp_path / "coco_qa")
    return tmp_path / "coco_qa"


def test_each_line_is_a_question(raw: Path) -> None:
    found = items(raw)
    name = "train2014/COCO_train2014_000000318464.jpg"
    assert found[3] == Item(
        id="train-3",
        split="train",
        task="vqa",
        picture=raw / "../coco" / name,
        image=f"coco/{name}",
        question="where does the man 's dog sleep?",
        answer="café",
        fields={"kind": "location"},
    )
    assert found[2].question == "what is the color of the bus?"
    assert found[4].image == found[3].image  # two questions on one picture
    assert found[8].image == "coco/val2014/COCO_val2014_000000393227.jpg"
    assert all(item.picture.is_file() for item in found if isinstance(item.picture, Path))
    assert found == items(raw)


def test_counts_and_kinds_are_those_of_the_files(raw: Path) -> None:
    counts = Counter((item.split, item.fields["kind"]) for item in items(raw))
    kinds = ("object", "number", "color", "location")
    assert counts == {("train", kind): 2 for kind in kinds} | {("test", kind): 1 for kind in kinds}
    assert [item.split for item in items(raw, train_splits=["test"], test_splits=[])] == [
        "train"
    ] * 4


def test_pictures_of_2017_do_as_well(raw: Path, tmp_path: Path) -> None:
    new = "train2017/000000458752.jpg"
    draw(tmp_path / "other" / new, 1, (8, 6))
    first, second, *_ = items(raw, pictures="../other")
    assert (first.picture, first.image) == (raw / "../other" / new, f"coco/{new}")
    assert second.image == "coco/train2017/000000458755.jpg"  # missing, for the check to tell


def test_an_empty_answer_stays_one(raw: Path) -> None:
    path = raw / "test/answers.txt"
    path.write_text(path.read_text().replace("pizza", ""))
    assert items(raw, answer="It is {answer}.")[8].answer == ""


@pytest.mark.parametrize("name", ["questions", "answers", "img_ids", "types"])
def test_missing_and_shorter_files_are_named(raw: Path, name: str) -> None:
    path = raw / "test" / f"{name}.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match=rf"not as many lines \(.*{name}\.txt 3"):
        items(raw)
    path.unlink()
    with pytest.raises(DataError, match=rf"There is no .*{name}\.txt"):
        items(raw)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("img_ids", "393241", "-1"), ("img_ids", "393241", "COCO_1"), ("types", "1\n", "4\n")],
)
def test_a_line_that_is_no_id_or_type_is_refused(raw: Path, name: str, old: str, new: str) -> None:
    path = raw / "test" / f"{name}.txt"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=rf"Line 2 of .*{name}\.txt is '{new.strip()}'"):
        items(raw)


def test_a_tree_without_pictures_is_refused(raw: Path) -> None:
    with pytest.raises(DataError, match="none of COCO's picture folders"):
        items(raw, pictures=".")


@pytest.mark.parametrize("changes", [{"question": "what?"}, {"answer": "{answer}{answer}"}])
def test_forms_without_their_field_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="exactly once"):
        params(**changes)
