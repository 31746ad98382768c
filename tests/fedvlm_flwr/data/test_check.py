"""What the check finds, and what a dataset with bad records is good for."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config import compose
from fedvlm_flwr.data.check import find_problems, shared_pictures
from fedvlm_flwr.data.load import examine_data, load_data
from fedvlm_flwr.data.records import Row
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.process import Process
from tests import choices
from tests.layout import organs, picture, published_params, record, write


def row(root: Path, i: int, split: str = "train", **changes: Any) -> Row:
    name = f"{i}.png"
    picture(root / name, (i, 0, 0))
    whole = {**record(name, "the answer"), "id": f"r{i}", "task": "vqa", **changes}
    return Row("some.json", split, whole)


def boxed(text: str, place: str = "answer", task: str = "detection") -> dict[str, Any]:
    texts = {"question": "where?", "answer": "[0, 0, 1, 1]", place: text}
    return {**record("0.png", texts["answer"], texts["question"]), "task": task}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": "lost.png"}, r"picture .*lost\.png cannot be read \(.*No such file"),
        ({"image": "../other.png"}, "relative"),
        ({"image": "a\0b.png"}, "cannot be read"),
        ({"image": ""}, "marks 1 pictures .* shows 0"),
        ({"task": "dancing"}, "task 'dancing' is none of captioning, classification"),
        ({"conversations": []}, "has turns from"),
        (record("0.png", "  "), "empty answer"),
        (record("0.png", "..."), "neither a letter nor a digit"),
        (boxed("nowhere"), "'nowhere' holds no box"),
        (boxed("[0.1, 0.1, 0, 0.2]"), "has no area"),
        (boxed("[0.9, 0.1, 0.2, 0.2]"), "not inside the picture"),
        (boxed("[-0.1, 0.1, 0.2, 0.2]"), "not inside the picture"),
        (
            boxed("[{'a': [0, 0, 1, 1]}, {'b': [0, 0, 2, 1]}]"),
            r"\[0.0, 0.0, 2.0, 1.0\].*not inside",
        ),
        (
            boxed("what is at [0, 0, 3, 1]?", "question", "captioning"),
            "in the question.*not inside",
        ),
    ],
)
def test_every_kind_of_bad_record_is_told_with_file_and_record(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    good = [row(tmp_path, 1), row(tmp_path, 2, "test")]
    bad = row(tmp_path, 0, **{**changes, "id": "bad-7"})
    (problem,) = find_problems([good[0], bad, good[1]], tmp_path)
    assert (problem.row, problem.record) == (1, "bad-7")
    with pytest.raises(AssertionError, match=f"(?s){why}"):
        raise AssertionError(str(problem))
    assert str(problem).startswith("some.json: bad-7: ")


def test_what_is_good_has_no_problem(tmp_path: Path) -> None:
    texts = ["[0.50, 0.51, 0.51, 0.50]", "it is {'left lung': [0, 0, 1, 1]}."]  # rounded corners
    rows = [
        row(tmp_path, i, **{**boxed(text), "image": f"{i}.png"}) for i, text in enumerate(texts)
    ]
    rows += [row(tmp_path, 7), row(tmp_path, 8, "test")]
    assert find_problems(rows, tmp_path) == []
    assert shared_pictures(rows, tmp_path) == []


@pytest.mark.parametrize("damage", [b"", b"not a picture", "half", "zeros"])
def test_an_unreadable_picture_is_told_for_each_of_its_records(
    tmp_path: Path, damage: bytes | str
) -> None:
    rows = [row(tmp_path, 1), row(tmp_path, 1, id="other"), row(tmp_path, 2)]
    path = tmp_path / "1.png"
    whole = path.read_bytes()
    half = whole[: len(whole) // 2]
    zeros = half + bytes(len(whole) - len(half))
    path.write_bytes({"half": half, "zeros": zeros}.get(str(damage), damage))  # type: ignore[arg-type]
    assert [p.record for p in find_problems(rows, tmp_path)] == ["r1", "other"]


def test_an_id_that_came_before_is_told(tmp_path: Path) -> None:
    rows = [row(tmp_path, 1), row(tmp_path, 2, "test", id="r1")]
    (problem,) = find_problems(rows, tmp_path)
    assert (problem.row, problem.text) == (1, "the id stands in some.json before")


def test_a_picture_under_two_names_is_still_the_same_picture(tmp_path: Path) -> None:
    train, test = row(tmp_path, 1), row(tmp_path, 2, "test")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes())
    (problem,) = shared_pictures([train, test], tmp_path)
    assert problem.record == "r1"
    assert "in the test set too (record 'r2', as 2.png)" in problem.text


def test_another_task_may_ask_about_the_same_picture(tmp_path: Path) -> None:
    train, test = row(tmp_path, 1), row(tmp_path, 1, "test", id="other", task="captioning")
    assert shared_pictures([train, test], tmp_path) == []


def mixed(root: Path) -> Path:
    """Nine good records, one without an answer, one on a test picture."""
    organs(root)
    extra = [record("slake/00.png", ""), record("slake/12.png", "yes")]
    old = [record("slake/00.png"), record("slake/01.png", "yes")]
    write(root / "clients/train/client_0.json", [*old, *extra])
    return root


def test_training_refuses_bad_records_up_to_the_ceiling_and_then_leaves_them_out(
    tmp_path: Path,
) -> None:
    root = mixed(tmp_path)
    for ceiling in (0, 1):
        params = published_params(root, allow_errors=ceiling)
        with pytest.raises(DataError, match=r"2 of the 11 records .*client_0.*allow_errors=2"):
            load_data(choices.dataset("published", params))
    data = load_data(choices.dataset("published", published_params(root, allow_errors=2)))
    assert (len(data.train), len(data.test), data.left_out) == (6, 3, 2)


def test_shared_pictures_may_be_allowed_and_are_told_apart(tmp_path: Path) -> None:
    params = published_params(mixed(tmp_path), shared_pictures="allow", allow_errors=1)
    data = load_data(choices.dataset("published", params))
    assert (len(data.train), data.left_out) == (7, 1)
    found = examine_data(choices.dataset("published", params))
    assert [len(found.problems), len(found.allowed), found.bad] == [1, 1, 1]


def test_nothing_left_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    root = organs(tmp_path)
    write(root / "central_training/test/test.json", [record("lost.png")])
    words = ["dataset=fed_slake", f"dataset.root={root}", "dataset.allow_errors=100"]
    with pytest.raises(DataError, match="no good test record"):
        Process().data(compose({"overrides": shlex.join(words)}))
    real = ["engine=inprocess", "engine.sites={north: .}"]  # a real site need not score
    assert not len(Process().data(compose({"overrides": shlex.join([*words, *real])})).test)


def test_limits_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"allow_errors=-1"):
        load_data(choices.dataset("published", published_params(tmp_path, allow_errors=-1)))
    with pytest.raises(ConfigError, match=r"shared_pictures='ignore'.*refuse, allow"):
        load_data(
            choices.dataset("published", published_params(tmp_path, shared_pictures="ignore"))
        )


def test_a_second_call_reads_what_the_first_has_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = published_params(mixed(tmp_path), allow_errors=2, answer_tokens=11)
    first = examine_data(choices.dataset("published", params))
    monkeypatch.setattr("fedvlm_flwr.data.checked.build", None)
    assert examine_data(choices.dataset("published", params)).problems == first.problems


def test_the_embedded_dataset_passes(small_easyvqa: Any) -> None:
    params = {"train_pictures": 3, "test_pictures": 2}
    assert examine_data(choices.dataset("easyvqa", params)).problems == []


def test_only_the_dataset_s_own_files_matter_for_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run folder or a note inside the dataset's folder makes nobody check it again."""
    params = published_params(organs(tmp_path), answer_tokens=12)
    examine_data(choices.dataset("published", params))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "curve.png").write_bytes(b"a picture of no record")
    with monkeypatch.context() as patch:
        patch.setattr("fedvlm_flwr.data.checked.build", None)
        assert examine_data(choices.dataset("published", params)).problems == []
    changed = tmp_path / "image" / "slake" / "00.png"
    changed.write_bytes(b"broken")
    assert [p.record for p in examine_data(choices.dataset("published", params)).problems] == [
        "clients/train/client_0.json-0"
    ]


def test_a_missing_picture_may_turn_up_in_any_of_its_places(tmp_path: Path) -> None:
    params = published_params(organs(tmp_path), answer_tokens=13)
    path = tmp_path / "image" / "slake" / "00.png"
    whole = path.read_bytes()
    path.unlink()
    assert examine_data(choices.dataset("published", params)).bad == 1
    (tmp_path / "images" / "slake").mkdir(parents=True)
    (tmp_path / "images" / "slake" / "00.png").write_bytes(whole)
    assert examine_data(choices.dataset("published", params)).bad == 0


def test_hostile_records_are_told_and_not_followed(tmp_path: Path) -> None:
    """Names that no file can have, other types, endless text: a line each, and no traceback."""
    root = organs(tmp_path)
    huge = "[" * 1_000_000
    odd: list[dict[str, Any]] = [
        {"image": "a\0b.png"},
        {"image": "../" * 50 + "etc/passwd"},
        {"image": 7},
        {"conversations": "text"},
        {"conversations": [{"from": "human"}, 3]},
        {"conversations": record("x", huge, huge)["conversations"]},
        {"image": "x" * 5000},
    ]
    records = [{**record("slake/00.png"), "id": str(i), **one} for i, one in enumerate(odd)]
    write(root / "clients/train/client_0.json", records)
    found = examine_data(choices.dataset("published", published_params(root)))
    assert {problem.record for problem in found.problems} == {str(i) for i in range(len(odd))}
    lines = [str(problem) for problem in found.problems]
    assert all(len(line) < 1100 and "\n" not in line for line in lines)
