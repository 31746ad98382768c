"""Datasets in the published layout are read as they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.data.federated import FederatedData, check_pictures, examples
from fedvlm_flwr.data.load import examine_data, load_data
from fedvlm_flwr.errors import DataError
from tests import choices
from tests.layout import organs, picture, published_params, record, write


def load(root: Path, **changes: Any) -> FederatedData:
    return load_data(choices.dataset("published", published_params(root, **changes)))


def test_records_keep_their_words_and_get_what_they_lack(tmp_path: Path) -> None:
    data = load(organs(tmp_path, subject="physics"))
    first, second = examples(data.train, data.root)[:2]
    assert (first.question, first.answer, first.task) == ("which organ?", "Lung", "vqa")
    assert first.images[0] == tmp_path / "image" / "slake" / "00.png"
    assert first.id == "clients/train/client_0.json-0" != second.id
    assert data.train["client"][:] == ["0", "0", "1", "1", "2", "2"]
    assert data.train["subject"][:] == ["physics"] * 6
    check_pictures(examples(data.test, data.root))
    assert data.left_out == len(data.public()) == 0


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


def halves(root: Path, below: str = "") -> Path:
    """Two clients with two training records each; four pictures for tests."""
    for i in range(8):
        picture(root / "image" / f"{i}.png", (i, 0, 0))
    for client in range(2):
        own = [record(f"{2 * client + i}.png") for i in range(2)]
        write(root / f"clients/{below}train/client_{client}.json", own)
    return root


TESTS = [record(f"{i}.png", "no") for i in range(4, 8)]


def test_one_pooled_test_file_beside_the_clients_is_the_test_set(tmp_path: Path) -> None:
    write(halves(tmp_path) / "clients/test/test.json", TESTS)
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (4, 4)
    assert "client" in data.train.column_names
    assert set(data.test["client"]) == {""}


@pytest.mark.parametrize("place", ["clients/test", "central_training/test"])
def test_a_pooled_file_beside_files_of_tasks_is_left_aside(tmp_path: Path, place: str) -> None:
    halves(tmp_path)
    write(tmp_path / place / "test.json", TESTS)
    write(tmp_path / place / "vqa_test.json", TESTS[:1])
    write(tmp_path / place / "caption_test.json", TESTS[1:])
    params = published_params(tmp_path)
    data = load_data(choices.dataset("published", params))
    assert sorted(data.test["task"]) == ["captioning"] * 3 + ["vqa"]
    notes = examine_data(choices.dataset("published", params)).notes
    assert notes == [f"{place}/test.json is left aside for the files beside it"]


def test_one_of_several_assignments_to_clients_is_chosen_by_name(tmp_path: Path) -> None:
    for variant, color in (("iid", 1), ("non_iid", 3)):
        halves(tmp_path, f"{variant}/")
        write(tmp_path / f"clients/{variant}/test/test.json", TESTS[:color])
    assert [len(load(tmp_path, variant=v).test) for v in ("iid", "non_iid")] == [1, 3]
    with pytest.raises(DataError, match=r"several .*dataset\.variant=: iid, non_iid"):
        load(tmp_path)
    with pytest.raises(
        DataError, match=r"variant=dirichlet but there is no .*one of: iid, non_iid"
    ):
        load(tmp_path, variant="dirichlet")


def test_conversations_of_several_questions_are_bad_as_ever(tmp_path: Path) -> None:
    root = organs(tmp_path)
    path = root / "clients/train/client_1.json"
    records = json.loads(path.read_text(encoding="utf-8"))
    more = [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "it is round"}]
    records[0]["conversations"] += more
    write(path, records)
    (problem,) = examine_data(choices.dataset("published", published_params(root))).problems
    assert "has 2 questions" in problem.text
