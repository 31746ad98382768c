"""Files of strangers: each is refused in one sentence that names it, and quickly."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import EpsImagePlugin, Image

from fedvlm_flwr.config import Choice
from fedvlm_flwr.data.foreign import parse_json
from fedvlm_flwr.data.load import examine_data, load_data
from fedvlm_flwr.data.sources.base import read_csv, read_json, read_lines
from fedvlm_flwr.errors import DataError
from tests import choices
from tests.fedvlm_flwr.data.test_folder import params, scans, write
from tests.layout import organs, picture, published_params
from tests.patience import within

NESTED = "[" * 100_000 + "]" * 100_000
HALF_PAIR = json.dumps(scans(1)[0] | {"answer": "\ud800"})
WIDE = {f"c{i}": "x" for i in range(4000)}
CLIENT = "clients/train/client_0.json"


def table(root: Path) -> Choice[Any]:
    return choices.dataset("folder", params(write(root, scans(10))))


def unpacks_to(path: Path, **columns: list[Any]) -> None:
    count = len(next(iter(columns.values())))
    texts = {"image": "scans/0.png", "question": "?", "answer": "a", "task": "vqa"}
    whole = {name: [text] * count for name, text in texts.items()}
    pq.write_table(pa.table(whole | columns), path, compression="zstd")


TABLES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "deep": ("a.jsonl", lambda p: p.write_text(NESTED), "nested too deeply"),
    "half a pair": ("a.jsonl", lambda p: p.write_text(HALF_PAIR), "half of a surrogate pair"),
    "a long number": ("a.jsonl", lambda p: p.write_text('{"a": ' + "1" * 5000 + "}"), "no JSON"),
    "a pipe": ("a.jsonl", os.mkfifo, "no regular file"),
    "a pipe, parquet": ("a.parquet", os.mkfifo, "no regular file"),
    "a device": ("a.jsonl", lambda p: p.symlink_to("/dev/zero"), "no regular file"),
    "wide": ("a.jsonl", lambda p: p.write_text(json.dumps(scans(1)[0] | WIDE)), "4004 columns|400"),
    "wide, parquet": ("a.parquet", lambda p: unpacks_to(p, **{c: ["x"] for c in WIDE}), "columns"),
    "many rows": ("a.parquet", lambda p: unpacks_to(p, split=["test"] * 3_000_000), "unpack to"),
    "long texts": ("a.parquet", lambda p: unpacks_to(p, answer=["a" * 10**6] * 200), "unpack to"),
    "long row": ("a.parquet", lambda p: unpacks_to(p, answer=["a" * 10**8]), "unpack to"),
    "no UTF-8": (
        "a.parquet",
        lambda p: unpacks_to(p, answer=pa.array([b"\xff"]).view(pa.string())),
        "cannot be read as parquet",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_table_is_named_in_one_sentence(name: str, tmp_path: Path) -> None:
    choice = table(tmp_path)
    file, make, why = TABLES[name]
    make(tmp_path / file)
    with within(10), pytest.raises(DataError, match=why) as refusal:
        load_data(choice)
    assert str(tmp_path / file) in str(refusal.value)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 600


def test_equal_values_may_come_as_one(tmp_path: Path) -> None:
    choice = table(tmp_path)
    rows = [row | {"image": f"more/{i}.png", "year": 1999} for i, row in enumerate(scans(10))]
    whole = pa.Table.from_pylist(rows)
    for i, name in enumerate(whole.column_names):
        whole = whole.set_column(i, name, whole[name].dictionary_encode())
    for i, row in enumerate(rows):
        picture(tmp_path / row["image"], (200, i, 0))
    pq.write_table(whole, tmp_path / "b.parquet")
    assert len(examine_data(choice).train) + len(examine_data(choice).test) == 20


def test_a_folder_named_like_a_table_is_looked_into(tmp_path: Path) -> None:
    choice = table(tmp_path)
    (tmp_path / "questions.jsonl").rename(tmp_path / "part-0.jsonl")
    (tmp_path / "questions.jsonl").mkdir()
    (tmp_path / "part-0.jsonl").rename(tmp_path / "questions.jsonl" / "part-0.jsonl")
    assert examine_data(choice).records == 10


def test_records_that_bring_ever_new_fields_are_refused(tmp_path: Path) -> None:
    rows = [row | {f"c{i}{k}": "x" for k in range(50)} for i, row in enumerate(scans(10))]
    with within(10), pytest.raises(DataError, match=r"questions\.jsonl has 505 columns"):
        load_data(choices.dataset("folder", params(write(tmp_path, rows))))


@pytest.mark.parametrize("text", [NESTED, f"[{HALF_PAIR}]", "\0" * 99], ids=["deep", "half", "NUL"])
def test_a_bad_file_of_the_published_layout_is_named(tmp_path: Path, text: str) -> None:
    choice = choices.dataset("published", published_params(organs(tmp_path)))
    (tmp_path / CLIENT).write_text(text)
    with within(10), pytest.raises(DataError, match=r"client_0\.json cannot be read as JSON"):
        load_data(choice)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    choice = choices.dataset("published", published_params(organs(tmp_path)))
    (tmp_path / CLIENT).unlink()
    make(tmp_path / CLIENT)
    with within(10), pytest.raises(DataError, match=r"client_0\.json .*no regular file"):
        load_data(choice)
    make(tmp_path / "source")
    for read in (read_json, read_lines, lambda p, what: list(read_csv(p, [], what))):
        with within(10), pytest.raises(DataError, match=r"source.* no regular file"):
            read(tmp_path / "source", "a table")


def test_a_source_nested_too_deeply_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(NESTED)
    with pytest.raises(DataError, match=r"a\.json is no JSON \(it is nested too deeply\)"):
        read_json(tmp_path / "a.json", "annotations")


def test_whole_pairs_are_one_sign() -> None:
    assert parse_json('"\\ud83d\\ude00 \\\\ud800"') == "\U0001f600 \\ud800"


def eps(path: Path) -> None:
    Image.new("RGB", (8, 6)).save(path, "EPS")


PICTURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "EPS": (eps, "cannot identify"),
    "PPM": (lambda p: Image.new("RGB", (8, 6)).save(p, "PPM"), "cannot identify"),
    "a pipe": (os.mkfifo, "no regular file"),
    "a folder": (Path.mkdir, "no regular file"),
    "a device": (lambda p: p.symlink_to("/dev/zero"), "no regular file"),
    "too large": (lambda p: picture(p, size=(11, 10)), "11 x 10 pixels are more than the 100"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_bad_picture_is_told_with_its_record(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("started"))
    rows = write(tmp_path, scans(10))
    place = tmp_path / "scans/0.png"
    place.unlink()
    make, why = PICTURES[name]
    make(place)
    data = choices.dataset("folder", params(rows, max_pixels=100, allow_errors=1))
    with within(20):
        (problem,) = examine_data(data).problems
        assert load_data(data).left_out == 1
    assert problem.record == "questions.jsonl-0" and why in problem.text


def test_a_picture_that_grew_after_the_check_is_refused_before_training(tmp_path: Path) -> None:
    from fedvlm_flwr.data.federated import check_pictures, examples

    data = load_data(choices.dataset("folder", params(write(tmp_path, scans(10)), max_pixels=100)))
    records = examples(data.train, data.root)
    check_pictures(records, data.max_pixels)
    picture(records[0].images[0], size=(20, 10))
    with pytest.raises(DataError, match="20 x 10 pixels"):
        check_pictures(records, data.max_pixels)
