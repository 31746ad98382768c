"""ScienceQA's problems become captions and questions with lettered choices."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.data.sources.scienceqa import Params, read
from fedvlm_flwr.errors import ConfigError, DataError
from tests.miniatures.scienceqa import build, build_hub

PROBLEMS = "data/scienceqa/problems.json"
CAPTIONS = "data/captions.json"


def params(**changes: Any) -> Params:
    values = {
        "tasks": ["captioning", "vqa"],
        "train_splits": ["train", "val"],
        "test_splits": ["test"],
        "caption_question": "What does the image show?",
        "caption_answer": "The caption of the image is: {caption}",
        "vqa_question": "{question}\n{choices}\nAnswer with a letter.",
        "vqa_context": "Context: {hint}\n",
        "vqa_answer": "The answer is {letter}.",
        **changes,
    }
    return typed(Params, values, "reading")


def items(raw: Path, **changes: Any) -> list[Item]:
    return list(read(raw, params(**changes)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    build(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    build_hub(folder)
    return folder


def change(path: Path, how: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    how(content)
    path.write_text(json.dumps(content))


def test_a_problem_with_a_picture_gives_both_tasks(raw: Path) -> None:
    found = items(raw)
    assert found[2:4] == [
        Item(
            id=f"4-{task}",
            split="train",
            task=task,
            picture=raw / "data/scienceqa/images/train/4/image.png",
            image="scienceqa/train/4/image.png",
            question=question,
            answer=answer,
            fields={
                "subject": "natural science",
                "topic": "physics",
                "category": "Physics",
                "grade": "grade2",
            },
        )
        for task, question, answer in (
            (
                "captioning",
                "What does the image show?",
                "The caption of the image is: A drawing of place 4 on a table.",
            ),
            (
                "vqa",
                'Context: Two magnets.\nLook.\nWhat is "N" here?\nA. a pole\nB. a force\n'
                "Answer with a letter.",
                "The answer is A.",
            ),
        )
    ]
    assert all(item.picture.is_file() for item in found if isinstance(item.picture, Path))
    assert found == items(raw)


def test_counts_leave_out_problems_without_a_picture(raw: Path) -> None:
    counts = Counter((item.split, item.task) for item in items(raw))
    assert counts == {
        ("train", "captioning"): 8,
        ("train", "vqa"): 8,
        ("test", "captioning"): 4,
        ("test", "vqa"): 4,
    }
    only = items(raw, tasks=["captioning"], train_splits=["val"])
    assert [item.id for item in only[:2]] == ["20-captioning", "21-captioning"]
    assert len(only) == 6


def test_a_question_that_holds_a_mark_of_the_form_is_left_as_it_is(raw: Path) -> None:
    form = "{choices}\n{question}"
    (found,) = [item for item in items(raw, vqa_question=form) if item.id == "5-vqa"]
    assert found.question == "A. yes\nB. no\nC. both/neither\nIs it a {choices} cell?"
    assert found.answer == "The answer is C."


def test_files_may_lie_in_the_folder_itself(raw: Path, tmp_path: Path) -> None:
    asked = [(item.id, item.question, item.answer) for item in items(raw)]
    assert [(i.id, i.question, i.answer) for i in items(raw / "data/scienceqa")] == asked
    flat = tmp_path / "flat"
    shutil.copytree(raw / "data/scienceqa", flat)
    shutil.copy(raw / CAPTIONS, flat)
    assert [(i.id, i.question, i.answer) for i in items(flat)] == asked


def test_a_picture_without_a_caption_has_an_empty_answer(raw: Path) -> None:
    change(raw / CAPTIONS, lambda content: content["captions"].pop("4"))
    found = {item.id: item.answer for item in items(raw)}
    assert found["4-captioning"] == ""
    assert found["4-vqa"] == "The answer is A."


def test_the_copy_on_the_hub_asks_the_same_questions(raw: Path, hub: Path) -> None:
    ours = items(raw, tasks=["vqa"])
    theirs = items(hub, tasks=["vqa"])
    assert [(i.split, i.question, i.answer, i.fields) for i in theirs] == [
        (i.split, i.question, i.answer, i.fields) for i in ours
    ]
    assert [item.id for item in theirs[5:8]] == ["train-6-vqa", "val-0-vqa", "val-1-vqa"]
    assert all(isinstance(item.picture, bytes) for item in theirs)
    assert len({item.image for item in theirs}) == 12
    assert theirs == items(hub, tasks=["vqa"])


def test_the_copy_on_the_hub_has_no_captions(hub: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs captions.*set tasks to \[vqa\]"):
        items(hub)


def test_missing_files_are_named(raw: Path, tmp_path: Path) -> None:
    (raw / CAPTIONS).unlink()
    with pytest.raises(DataError, match=r"There is no .*captions\.json"):
        items(raw)
    assert len(items(raw, tasks=["vqa"])) == 12
    with pytest.raises(DataError, match=r"There is no .*problems\.json"):
        items(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("file", "how", "message"),
    [
        (PROBLEMS, lambda content: content["4"].pop("hint"), "Problem 4 of .* has no 'hint'"),
        (PROBLEMS, lambda content: content["4"].pop("topic"), "Problem 4 of .* has no 'topic'"),
        (PROBLEMS, lambda content: content["6"].pop("image"), "Problem 6 of .* has no 'image'"),
        (PROBLEMS, lambda content: content["6"].pop("split"), "Problem 6 of .* has no 'split'"),
        (PROBLEMS, lambda content: content["4"].update(answer=2), "Problem 4 .* the answer 2"),
        (PROBLEMS, lambda content: content["4"].update(answer=-1), "Problem 4 .* the answer -1"),
        (PROBLEMS, lambda content: content["4"].update(answer="A"), "Problem 4 .* the answer 'A'"),
        (PROBLEMS, lambda content: content["4"].update(choices=None), "no list of choices"),
        (PROBLEMS, lambda content: content["4"].update(choices=[]), "no list of choices"),
        (CAPTIONS, lambda content: content.pop("captions"), "has no 'captions'"),
        (CAPTIONS, lambda content: content.update(captions=["a map"]), "no captions by their"),
    ],
)
def test_a_damaged_problem_is_named(
    raw: Path, file: str, how: Callable[[Any], object], message: str
) -> None:
    change(raw / file, how)
    with pytest.raises(DataError, match=message):
        items(raw)


@pytest.mark.parametrize(("text", "message"), [("{", "is no JSON"), ("[]", "no problems by")])
def test_a_file_of_something_else_is_refused(raw: Path, text: str, message: str) -> None:
    (raw / PROBLEMS).write_text(text)
    with pytest.raises(DataError, match=message):
        items(raw)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": []}, r"tasks=\[\]"),
        ({"tasks": ["report"]}, r"tasks=\['report'\]"),
        ({"train_splits": ["minitrain"]}, r"train_splits\[0\]='minitrain' is unknown"),
        ({"caption_answer": "a picture"}, "caption_answer="),
        ({"vqa_question": "{question}"}, "vqa_question=.*{choices}"),
        ({"vqa_question": "{choices}"}, "vqa_question=.*{question}"),
        ({"vqa_context": ""}, "vqa_context="),
        ({"vqa_answer": "{letter}{letter}"}, "vqa_answer="),
    ],
)
def test_values_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        params(**changes)
