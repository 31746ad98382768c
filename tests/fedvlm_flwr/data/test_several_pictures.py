"""Records of several pictures, and of none: what comes in, where it is put, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.data.federated import Example, examples
from fedvlm_flwr.data.framing import frame_of
from fedvlm_flwr.data.partitions import partition_table
from fedvlm_flwr.data.units import joined
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.frame import WHOLE, Frame
from fedvlm_flwr.process import Process
from tests import forms
from tests.fedvlm_flwr.data.test_forms import all_examples, examine, load

PAIR = ["images/p0.png", "images/p1.png"]


def read(root: Path, row: dict[str, Any], turns: str = "one") -> list[Example]:
    """The examples of one training row, beside a test set of others."""
    forms.pictures(root)
    tested = forms.talks() if "messages" in row else forms.flat()
    forms.lines(root / "train.jsonl", [{"id": "it", **row}])
    forms.lines(root / "test.jsonl", tested[2:])
    report = examine(root, turns=turns)
    assert report.problems == []
    return [one for one in all_examples(load(root, turns=turns)) if one.id.startswith("it")]


def talk(*texts: Any) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


PARTS = [
    {"type": "text", "text": "Compare"},
    {"type": "image", "image": PAIR[0]},
    {"type": "text", "text": "with"},
    {"type": "image", "image": PAIR[1]},
]


@pytest.mark.parametrize(
    ("row", "question"),
    [
        ({"question": "Which is older?", "image": PAIR}, "<image>\n<image>\nWhich is older?"),
        ({"question": "Is <image> like<image>?", "image": PAIR}, "Is\n<image>\nlike\n<image>\n?"),
        ({"question": "<image><image>Why?", "images": PAIR}, "<image>\n<image>\nWhy?"),
        ({"messages": talk(PARTS, "no")}, "Compare\n<image>\nwith\n<image>"),
    ],
)
def test_each_picture_keeps_its_place(row: dict[str, Any], question: str, tmp_path: Path) -> None:
    (one,) = read(tmp_path, {"answer": "no", **row} if "question" in row else row)
    assert (one.question, [path.name for path in one.images]) == (question, ["p0.png", "p1.png"])


def test_a_record_without_a_picture_is_a_question_and_is_counted(tmp_path: Path) -> None:
    (one,) = read(tmp_path, {"question": "What is a lung?", "answer": "an organ", "image": None})
    assert (one.images, one.question) == ((), "What is a lung?")
    assert "1 rows show no picture" in examine(tmp_path).notes


def test_each_question_of_a_conversation_shows_the_pictures_up_to_it(tmp_path: Path) -> None:
    texts = ("<image>\nFirst?", "a", "Now <image>: same?", "b", "And why?", "c")
    found = read(tmp_path, {"messages": talk(*texts), "images": PAIR}, turns="all")
    shown = [(one.question, [p.name for p in one.images], len(one.history)) for one in found]
    assert shown == [
        ("First?", ["p0.png"], 0),
        ("Now\n<image>\n: same?", ["p0.png", "p1.png"], 1),
        ("And why?", ["p0.png", "p1.png"], 2),
    ]
    assert found[2].history[0][0] == "<image>\nFirst?"


def test_boxes_are_of_one_picture(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    boxed = {"task": "detection", "question": "Where?", "answer": "[0.1, 0.1, 0.5, 0.5]"}
    rows = [row | boxed for row in forms.flat()]
    rows[3]["image"], rows[4]["image"] = PAIR, None
    forms.lines(tmp_path / "data.jsonl", rows)
    assert [(p.record, p.text) for p in examine(tmp_path).problems] == [
        (
            f"data.jsonl-{i}",
            f"the answer tells a box, and the record shows {n} pictures; a box is one of one",
        )
        for i, n in ((3, 2), (4, 0))
    ]
    seen = Example("x", (Path("a"), Path("b")), "what?", "a lung", "captioning")
    assert frame_of(seen, lambda _: Frame(0.1, 0, 0.8, 1)) == WHOLE


def test_a_bad_picture_of_several_is_named(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = forms.flat()
    rows[3]["image"] = [PAIR[0], "images/lost.png"]
    forms.lines(tmp_path / "data.jsonl", rows)
    (problem,) = examine(tmp_path).problems
    assert problem.record == "data.jsonl-3"
    assert "lost.png cannot be read" in problem.text


def test_records_that_share_a_picture_are_drawn_and_assigned_together(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = forms.flat()
    for i in range(0, 12, 2):  # six pairs, each pair's second picture has a row of its own
        rows[i]["image"] = forms.NAMES[i : i + 2]
    rows += [row | {"image": None} for row in forms.flat(0, 1, 2, 3)]
    forms.lines(tmp_path / "data.jsonl", rows)
    data = load(tmp_path, test_fraction=0.3)  # three of six pairs and four rows
    train, test = (examples(table, data.root) for table in (data.train, data.test))
    assert 3 <= len(test) <= 6
    assert not {p for one in train for p in one.images} & {p for one in test for p in one.images}
    choice = compose({"overrides": "partition=iid"}).partition
    parts = partition_table(choice, data.train, 3, 0)
    seen = [{p for i in own for p in train[i].images} for own in parts]
    assert not any(seen[i] & seen[j] for i in range(3) for j in range(i))


def test_groups_are_joined_through_others_and_named_by_their_first_picture() -> None:
    groups = joined([["b"], ["a", "b"], [], ["c"], [], ["c", "d"]])
    assert groups == ["a", "a", "record 2", "c", "record 4", "c"]


def test_a_picture_under_two_names_is_drawn_to_one_side(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    for i in range(6):
        (tmp_path / forms.NAMES[6 + i]).write_bytes((tmp_path / forms.NAMES[i]).read_bytes())
    forms.lines(tmp_path / "data.jsonl", forms.flat())
    for seed in range(3):
        report = examine(tmp_path, split_seed=seed, test_fraction=0.5)
        assert report.problems == []
        assert len(report.test) == 6
        assert "12 pictures are 6 files under several names" in report.notes


# -- what a model does not take --------------------------------------------------------------------


def several(root: Path) -> list[str]:
    """A dataset of ten plain records, one of two pictures and one of none; its overrides."""
    forms.pictures(root)
    rows = forms.flat()
    rows[0]["image"], rows[1]["image"] = PAIR, None
    for i, row in enumerate(rows):
        row["split"] = "train" if i < 8 else "test"
    forms.lines(root / "data.jsonl", rows)
    return ["dataset=folder", f"dataset.root={root}", "dataset.task=vqa", "num_clients=2"]


def test_a_model_of_one_picture_refuses_and_counts_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = several(tmp_path)
    words = [*plain, "model=tiny_showo"]
    with pytest.raises(
        DataError,
        match=r"2 records .* model=tiny_showo takes, which is exactly 1"
        r".*train: data\.jsonl-0: it shows 2 pictures.*dataset\.allow_errors=2",
    ):
        Process().data(compose({"overrides": " ".join(words)}))
    allowed = compose({"overrides": " ".join([*words, "dataset.allow_errors=2"])})
    data = Process().data(allowed)
    assert (data.left_out, len(data.train), len(data.test)) == (2, 6, 4)
    assert main(["prepare", "--check", *words]) == 1
    told = capsys.readouterr().out
    assert "bad: train: data.jsonl-1: it shows 0 pictures, and model=tiny_showo takes" in told
    assert "12 records, 2 of them bad" in told
    process, config = Process(), compose({"overrides": " ".join(plain)})  # tiny_llava
    taken = process.data(config)
    assert (taken.left_out, len(taken.train)) == (0, 8)
    assert process.data(config) is taken
