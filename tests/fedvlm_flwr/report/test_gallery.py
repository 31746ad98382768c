"""The choice of test examples, and what a card says."""

import json
from pathlib import Path

import pytest
from PIL import Image

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.report.gallery import EACH, Source, cards_by_group, first_answers, last_answers
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Card, Text
from fedvlm_flwr.report.pictures.thumbnail import LONGEST, thumbnail
from fedvlm_flwr.report.reading import read_experiment
from fedvlm_flwr.report.sections import gallery as section
from fedvlm_flwr.run_folder import FIRST_PREDICTIONS, PREDICTIONS, RunFolder
from tests.fedvlm_flwr.report.folders import write_run

BOX = "[0.10, 0.20, 0.40, 0.40]"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (800, 400), (9, 9, 200)).save(path)
    return path


def examples(picture: Path, task: str, answers: list[str]) -> list[Example]:
    return [Example(f"{task}{i}", (picture,), "what?", a, task) for i, a in enumerate(answers)]


def groups(sources: list[Source], own: list[Example], seed: int = 0) -> dict[str, list[Card]]:
    return dict(cards_by_group(sources, own, seed))


def test_right_and_wrong_ones_are_shown_and_the_changed_ones_first(picture: Path) -> None:
    own = examples(picture, "vqa", ["yes"] * 20)
    names = [one.id for one in own]
    before = dict.fromkeys(names, "no") | {names[0]: "yes", names[1]: "yes", names[2]: "yes"}
    after = dict.fromkeys(names[:12], "yes") | dict.fromkeys(names[12:], "no") | {names[0]: "no"}
    sources = [Source("before", before, -1), Source("after training", after, 0)]
    result = groups(sources, own)
    assert list(result) == ["vqa: right, after training", "vqa: wrong, after training"]
    right, wrong = result.values()
    assert [len(right), len(wrong)] == [EACH, EACH]
    marks = [[answer.right for answer in card.answers] for card in right]
    assert marks == [[False, True]] * (EACH - 1) + [[True, True]]
    assert wrong[0].name == names[0]  # the only one that was right before
    assert groups(sources, own) == result
    assert groups(sources, own, seed=1) != result


def test_boxes_of_reference_and_answers_are_on_the_card(picture: Path) -> None:
    own = examples(picture, "detection", [BOX])
    answer = "[0.50, 0.20, 0.40, 0.40]"
    sources = [Source("before", {own[0].id: BOX}, -1), Source("fedavg", {own[0].id: answer}, 3)]
    ((card,),) = groups(sources, own).values()
    assert [(one.kind, one.series, one.box[0]) for one in card.boxes] == [
        ("true", 0, 0.1),
        ("before", 0, 0.1),
        ("predicted", 3, 0.5),
    ]
    assert [answer.right for answer in card.answers] == [True, False]


def test_a_picture_is_small_and_a_missing_one_is_named(picture: Path) -> None:
    text, size = thumbnail(picture)
    assert size == (LONGEST, LONGEST // 2) and text.startswith("data:image/jpeg;base64,")
    assert len(text) < 10_000
    Image.new("RGB", (64, 64)).save(picture)
    assert thumbnail(picture)[0].startswith("data:image/png;base64,")
    with pytest.raises(DataError, match=r"no picture .*gone\.png"):
        thumbnail(picture.parent / "gone.png")


def test_a_record_without_an_answer_is_left_out(picture: Path) -> None:
    own = examples(picture, "vqa", ["yes", "no"])
    ((card,),) = groups([Source("after training", {own[1].id: "no"}, 0)], own).values()
    assert card.name == own[1].id and [one.who for one in card.answers] == ["after training"]


def predictions(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(json.dumps({"id": "a", "prediction": text}) + "\n")


def test_answers_are_read_and_a_page_without_pictures_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [0.1, 0.2])
    run = History.read(RunFolder(folder), "run")
    assert first_answers(run) == {} and last_answers(run) == {}
    assert section.section(read_experiment(folder)) is None  # no answer has left its site
    predictions(folder, FIRST_PREDICTIONS, "no")
    predictions(folder, PREDICTIONS, "yes")
    assert first_answers(run) == {"a": "no"} and last_answers(run) == {"a": "yes"}
    page = section.section(read_experiment(folder))
    assert page is not None
    (words,) = [part for part in page.parts if isinstance(part, Text) and part.warns]
    assert "not at hand" in words.text
