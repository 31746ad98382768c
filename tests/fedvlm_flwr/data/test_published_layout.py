"""Datasets in the published layout are read as they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.data.federated import FederatedData, check_pictures, examples
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.errors import DataError
from tests import choices
from tests.layout import organs, picture, published_params, record, write


def load(root: Path, **changes: Any) -> FederatedData:
    return load_data(choices.dataset("published", published_params(root, **changes)))


def test_records_keep_their_words_and_get_what_they_lack(tmp_path: Path) -> None:
    data = load(organs(tmp_path, subject="physics"))
    first, second = examples(data.train, data.root)[:2]
    assert (first.question, first.answer, first.task) == ("which organ?", "Lung", "vqa")
    assert first.image == tmp_path / "image" / "slake" / "00.png"
    assert first.id == "clients/train/client_0.json-0" != second.id
    assert data.train["client"][:] == ["0", "0", "1", "1", "2", "2"]
    assert data.train["subject"][:] == ["physics"] * 6
    check_pictures(examples(data.test, data.root))
    assert data.left_out == len(data.public) == 0


def test_the_pooled_test_file_is_the_test_set_and_the_clients_files_say_whose(
    tmp_path: Path,
) -> None:
    data = load(organs(tmp_path))
    assert data.test["client"][:] == ["0", "1", "2"]
    assert data.test["id"][0] == "central_training/test/test.json-0"


def test_without_clients_files_the_pooled_ones_are_read(tmp_path: Path) -> None:
    for split, color in (("train", 1), ("test", 2)):
        picture(tmp_path / f"{split}.png", (color, 0, 0))
        write(tmp_path / f"central_training/{split}.json", [record(f"{split}.png")])
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (1, 1)
    assert "client" not in data.train.column_names


def test_both_conversations_of_a_record_are_read(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png", (1, 0, 0))
    picture(tmp_path / "images" / "b.png", (2, 0, 0))
    turns = {name: record("", name)["conversations"] for name in ("a circle", "B")}
    both = {"conversations_caption": turns["a circle"], "conversations_vqa": turns["B"]}
    for split, name in (("train", "a.png"), ("test", "b.png")):
        write(tmp_path / f"central_training/{split}.json", [{"image": name, "id": split, **both}])
    data = load(tmp_path, task=None)
    assert data.train["task"][:] == ["captioning", "vqa"]
    assert data.train["id"][:] == ["train-captioning", "train-vqa"]
    assert [e.answer for e in examples(data.train, data.root)] == ["a circle", "B"]
    assert load(tmp_path, task=None, tasks=["vqa"]).train["task"][:] == ["vqa"]


def test_the_task_comes_from_the_record_or_its_file_or_the_choice(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / f"{i}.png", (i, 0, 0))
    write(tmp_path / "clients/train/client_0.json", [record("0.png", task="captioning")])
    write(tmp_path / "clients/train/client_1.json", [record("1.png")])
    write(tmp_path / "central_training/test/test_vqa.json", [record("2.png")])
    write(tmp_path / "central_training/test/organs.json", [record("3.png")])
    tasks = {"client_1": "vqa", "organs": "classification"}
    data = load(tmp_path, task=None, file_tasks=tasks)
    assert data.train["task"][:] == ["captioning", "vqa"]
    assert data.test["task"][:] == ["classification", "vqa"]
    with pytest.raises(DataError, match=r"client_1\.json name no task.*file_tasks\.client_1="):
        load(tmp_path, task=None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", r"client_1\.json cannot be read as JSON"),
        ("{}", r"client_1\.json holds no list"),
        ("[3]", r"Record 0 of .*client_1\.json is 3"),
        ('[{"image": "a.png"}]', r"Record 0 of .*client_1\.json has no 'conversations'"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, content: str, why: str) -> None:
    path = organs(tmp_path) / "clients" / "train" / "client_1.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=why):
        load(tmp_path)


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no dataset folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no train records"):
        load(tmp_path)
    write(tmp_path / "clients/train/client_0.json", [record("a.png")])
    with pytest.raises(DataError, match="holds no test records"):
        load(tmp_path)
    write(tmp_path / "clients/train/hospital.json", [])
    with pytest.raises(DataError, match=r"hospital\.json is no client's file"):
        load(tmp_path)


def test_changed_files_are_read_anew(tmp_path: Path) -> None:
    root = organs(tmp_path)
    assert len(load(root).train) == 6
    path = root / "clients" / "train" / "client_0.json"
    path.write_text(json.dumps([record("slake/00.png")]), encoding="utf-8")
    changed = published_params(root, answer_tokens=9)  # load_data keeps what it has seen
    assert len(load_data(choices.dataset("published", changed)).train) == 5
