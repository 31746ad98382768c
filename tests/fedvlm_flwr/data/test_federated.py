from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from PIL import Image

from fedvlm_flwr.data.federated import Example, check_pictures, examples
from fedvlm_flwr.errors import DataError

ROOT = Path("/pictures")


def turns(question: str = "<image>\nwhich organ?", answer: str = "Lung") -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def record(name: str, **changes: Any) -> dict[str, Any]:
    return {"id": name, "image": "a/1.png", "conversations": turns(), "task": "vqa", **changes}


def test_a_record_becomes_an_example() -> None:
    table = Dataset.from_list([record("one")])
    assert examples(table, ROOT) == [
        Example("one", (ROOT / "a" / "1.png",), "which organ?", "Lung", "vqa")
    ]


def test_indices_choose_and_order() -> None:
    table = Dataset.from_list([record("one"), record("two"), record("three")])
    assert [e.id for e in examples(table, ROOT, [2, 0])] == ["three", "one"]
    assert examples(table, ROOT, []) == []


def test_earlier_turns_are_history_and_the_last_question_is_asked() -> None:
    table = Dataset.from_list(
        [record("one", conversations=turns() + turns("why?", "of its shape"))]
    )
    (one,) = examples(table, ROOT)
    assert (one.question, one.answer) == ("why?", "of its shape")
    assert one.history == (("which organ?", "Lung"),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"conversations": turns("which organ?")}, "'<image>'"),
        ({"conversations": turns("<image>\n ")}, "'<image>'"),
        ({"conversations": turns("<image>\n<image>\nboth?")}, "'<image>'"),
        ({"conversations": turns(answer="  ")}, "empty answer"),
        ({"conversations": turns()[::-1]}, "turns from"),
        ({"conversations": turns()[:1]}, "turns from"),
        ({"conversations": turns() + turns()}, "a further one in its conversation is text"),
        ({"conversations": turns() + turns("why?")[:1]}, "turns from"),
        ({"conversations": turns() + turns("why?", " ")}, "empty answer"),
        ({"conversations": None}, "turns from"),
        ({"image": "../secret.png"}, "relative"),
        ({"image": "/etc/passwd"}, "relative"),
    ],
)
def test_a_malformed_record_is_named(changes: dict[str, Any], why: str) -> None:
    table = Dataset.from_list([record("good"), record("bad-7", **changes)])
    with pytest.raises(DataError, match=f"(?s)'bad-7'.*{why}"):
        examples(table, ROOT)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="no column 'task'"):
        examples(Dataset.from_list([record("one")]).remove_columns("task"), ROOT)


def example(name: str, path: Path) -> Example:
    return Example(name, (path,), "q", "a", "vqa")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.effect_noise((32, 32), 50).save(path)
    return path


def test_good_pictures_pass(picture: Path) -> None:
    check_pictures([example("one", picture), example("two", picture)])


def test_a_missing_picture_is_named_with_its_first_record(tmp_path: Path, picture: Path) -> None:
    lost = tmp_path / "lost.png"
    with pytest.raises(DataError, match=r"lost\.png of record 'two'"):
        check_pictures([example("one", picture), example("two", lost), example("three", lost)])


def test_a_damaged_picture_is_refused_even_after_it_was_good(picture: Path) -> None:
    chosen = [example("one", picture)]
    check_pictures(chosen)
    whole = picture.read_bytes()
    flipped = whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]
    for damaged in (whole[: len(whole) // 2], flipped, b"", b"GIF"):
        picture.write_bytes(damaged)
        for _ in range(2):  # a failure is not remembered as a success
            with pytest.raises(DataError, match="record 'one' cannot be read"):
                check_pictures(chosen)
    picture.write_bytes(whole)
    check_pictures(chosen)


def test_a_cut_photograph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photograph.jpg"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"photograph\.jpg of record 'one'"):
        check_pictures([example("one", path)])
