"""RefCOCO's references become grounding and captioning; its pickle can run nothing."""

import json
import os
import pickle
import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.data.sources.refcoco import Params, read, read_references
from fedvlm_flwr.errors import ConfigError, DataError
from tests.miniatures.refcoco import build, python2_pickle, references

REFS = "refs(unc).p"


def params(**changes: Any) -> Params:
    values = {
        "tasks": ["grounding", "captioning"],
        "sentences": "first",
        "pictures": "../coco",
        "train_splits": ["train", "val"],
        "test_splits": ["testA", "testB"],
        "grounding_question": "Where is {sentence} in the image?",
        "grounding_answer": "Its coordinates are {box}.",
        "caption_question": "What is in the region {box}?",
        "caption_answer": "{sentence}",
        **changes,
    }
    return typed(Params, values, "reading")


def items(raw: Path, **changes: Any) -> list[Item]:
    return list(read(raw, params(**changes)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    build(tmp_path / "refcoco")
    return tmp_path / "refcoco"


def change(raw: Path, how: Callable[[Any], object]) -> None:
    found = references()
    how(found)
    (raw / REFS).write_bytes(python2_pickle(found))


def test_a_reference_is_asked_both_ways(raw: Path) -> None:
    name = "train2014/COCO_train2014_000000581861.jpg"  # 40 x 80, the cat at [4, 16, 32, 48]
    found = items(raw)
    assert found[4:6] == [
        Item(
            id=f"3-{task}",
            split="train",
            task=task,
            picture=raw / "../coco" / name,
            image=f"coco/{name}",
            question=question,
            answer=answer,
            fields={"category": "cat"},
        )
        for task, question, answer in (
            (
                "grounding",
                "Where is grey cat's face in the image?",
                "Its coordinates are [0.10, 0.20, 0.80, 0.60].",
            ),
            ("captioning", "What is in the region [0.10, 0.20, 0.80, 0.60]?", "grey cat's face"),
        )
    ]
    assert all(item.picture.is_file() for item in found if isinstance(item.picture, Path))
    assert found == items(raw)


def test_counts_are_those_of_the_splits_and_sentences(raw: Path) -> None:
    counts = Counter((item.split, item.task) for item in items(raw))
    tasks = ("grounding", "captioning")
    assert counts == {("train", task): 7 for task in tasks} | {("test", task): 5 for task in tasks}
    both = items(raw, tasks=["grounding"], sentences="all")
    assert Counter(item.split for item in both) == {"train": 9, "test": 7}
    assert [item.id for item in both] == [f"{i}-grounding" for i in range(16)]
    assert len(items(raw, train_splits=["val"], test_splits=["testA"])) == 2 * (1 + 2)


def test_text_of_python_2_is_text(raw: Path) -> None:
    operations = {code.name for code, _, _ in pickletools.genops((raw / REFS).read_bytes())}
    assert {"SHORT_BINSTRING", "BINUNICODE", "BINGET"} <= operations
    answers = [item.answer for item in items(raw, tasks=["captioning"])]
    assert "hot dog from the café" in answers  # bytes in UTF-8
    assert "woman in écru" in answers  # Python 2's unicode
    assert 'dog w/ a "red" collar' in answers


def test_the_text_protocol_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / REFS
    path.write_bytes(b"(lp0\n(dp1\nS'split'\np2\nS'train'\np3\nsS'ref_id'\np4\nL7L\nsa.")
    assert read_references(path) == [{"split": "train", "ref_id": 7}]


class Trap:
    """What a pickle could run."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.sprung}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_something_is_refused_and_not_run(
    raw: Path, tmp_path: Path, protocol: int
) -> None:
    sprung = tmp_path / "sprung"
    data = pickle.dumps([{"split": "train", "sentences": [Trap(sprung)]}], protocol)
    (raw / REFS).write_bytes(data)
    with pytest.raises(DataError, match=r"asks for (posix|nt)\.system"):
        items(raw)
    assert not sprung.exists()
    pickle.loads(data)
    assert sprung.exists()  # it was a trap


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"(S'touch x'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'touch x'\no.", "os.system"),
        (pickle.dumps(OrderedDict(), 2), "collections.OrderedDict"),
        (pickle.dumps([Path("x")], 4), "pathlib"),
    ],
)
def test_every_name_is_refused_and_told(raw: Path, data: bytes, name: str) -> None:
    (raw / REFS).write_bytes(data)
    with pytest.raises(DataError, match=f"asks for {name}"):
        read_references(raw / REFS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"no pickle",
        python2_pickle([b"caf\xe9"]),  # Latin-1
        b"\x80\x02]q\x01(K\x01",  # cut off
        b"\x80\x02h\x09.",  # a memo that is not there
        b"\x80\x02]q\x01}b.",  # a state for a list
        b"\x80\x02U\x05",
        b"\x80\x02]]Q.",  # a persistent id
        b"\x80\x02\x82\x07.",  # an extension code
    ],
)
def test_a_damaged_pickle_is_refused(raw: Path, data: bytes) -> None:
    (raw / REFS).write_bytes(data)
    with pytest.raises(DataError, match=r"refs\(unc\)\.p is no pickle of references"):
        items(raw)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda refs: refs[0].pop("split"), "Reference 0 of .* has no 'split'"),
        (lambda refs: refs[0].pop("ann_id"), "Reference 0 of .* has no 'ann_id'"),
        (lambda refs: refs[0].update(image_id="9"), "'image_id' of Reference 0 .* is a str"),
        (lambda refs: refs[0].update(ann_id=5), "Reference 0 .* names an object"),
        (lambda refs: refs[0].update(category_id=2), "Reference 0 .* names an object"),
        (lambda refs: refs[0].update(sentences="man"), "'sentences' of .* is a str"),
        (lambda refs: refs[0]["sentences"][0].pop("sent"), "A sentence of .* has no 'sent'"),
        (lambda refs: refs[0]["sentences"].insert(0, "man"), "A sentence of .* is a str"),
        (lambda refs: refs.insert(0, ["man"]), "Reference 0 of .* is a list"),
    ],
)
def test_a_damaged_reference_is_named(
    raw: Path, how: Callable[[Any], object], message: str
) -> None:
    change(raw, how)
    with pytest.raises(DataError, match=message):
        items(raw)


@pytest.mark.parametrize(
    ("kind", "key", "value", "message"),
    [
        ("annotations", "bbox", [1, 2, 3], r"has the box \[1, 2, 3\]"),
        ("annotations", "bbox", "1, 2, 3, 4", "has the box '1, 2, 3, 4'"),
        ("annotations", "bbox", [1, 2, None, 4], "has the box"),
        ("images", "width", 0, r"in a picture of \[0, 40\]"),
        ("images", "height", "40", r"in a picture of \[80, '40'\]"),
    ],
)
def test_a_box_or_size_that_is_none_is_refused(
    raw: Path, kind: str, key: str, value: Any, message: str
) -> None:
    content = json.loads((raw / "instances.json").read_text())
    content[kind][0][key] = value
    (raw / "instances.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        items(raw)


def test_missing_files_and_other_pickles_are_refused(raw: Path) -> None:
    (raw / REFS).write_bytes(python2_pickle({"refs": []}))
    with pytest.raises(DataError, match="holds no list of references"):
        items(raw)
    change(raw, lambda refs: None)
    with pytest.raises(DataError, match="none of COCO's picture folders"):
        items(raw, pictures=".")
    (raw / "instances.json").unlink()
    with pytest.raises(DataError, match=r"There is no .*instances\.json"):
        items(raw)
    (raw / REFS).unlink()
    with pytest.raises(DataError, match=r"There is no .*refs\(unc\)\.p"):
        items(raw)


def test_an_empty_sentence_is_an_empty_caption(raw: Path) -> None:
    change(raw, lambda refs: refs[0]["sentences"][0].update(sent=" "))
    assert items(raw, tasks=["captioning"], caption_answer="It is {sentence}.")[0].answer == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["vqa"]}, r"tasks=\['vqa'\]"),
        ({"sentences": "last"}, "sentences='last'"),
        ({"test_splits": ["test"]}, r"test_splits\[0\]='test' is unknown"),
        ({"grounding_question": "where?"}, "grounding_question=.*{sentence}"),
        ({"grounding_answer": "there"}, "grounding_answer=.*{box}"),
        ({"caption_question": "what?"}, "caption_question=.*{box}"),
        ({"caption_answer": "{box}"}, "caption_answer=.*{sentence}"),
    ],
)
def test_values_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        params(**changes)
