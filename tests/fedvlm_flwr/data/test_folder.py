"""A user's own tables become a federated dataset."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from fedvlm_flwr.data.federated import FederatedData, examples
from fedvlm_flwr.data.load import examine_data, load_data
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.boxes import parse_boxes
from tests import choices
from tests.layout import picture

CONF = Path(__file__).parents[3] / "conf" / "dataset" / "folder.yaml"
Rows = Sequence[Mapping[str, Any]]


def params(root: Path | None, **changes: Any) -> dict[str, Any]:
    values = OmegaConf.merge(OmegaConf.load(CONF), {"root": root and str(root), **changes})
    found: dict[str, Any] = OmegaConf.to_container(values)  # type: ignore[assignment]
    return {key: value for key, value in found.items() if key not in ("name", "kind")}


def load(root: Path, **changes: Any) -> FederatedData:
    return load_data(choices.dataset("folder", params(root, **changes)))


def scans(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"image": f"scans/{i}.png", "question": "which organ?", "answer": "Lung", "task": "vqa"}
        | {"site": ["Leeds", "Bonn"][i % 2], **more}
        for i in range(count)
    ]


def write(
    root: Path, rows: Rows, name: str = "questions.jsonl", sized: tuple[int, int] = (8, 6)
) -> Path:
    for i, row in enumerate(rows):
        picture(root / str(row["image"]), (i, len(name), 0), sized)
    text = "\n".join(json.dumps(row) for row in rows)
    (root / name).write_text(text + "\n\n", encoding="utf-8")
    return root


def test_a_table_of_questions_is_all_that_is_needed(tmp_path: Path) -> None:
    data = load(write(tmp_path, scans(10)))
    assert (len(data.train), len(data.test)) == (8, 2)
    assert set(data.train["site"]) == {"Leeds", "Bonn"}
    (first, *_) = examples(data.train, data.root)
    assert (first.question, first.answer, first.task) == ("which organ?", "Lung", "vqa")
    assert first.images[0].parent == tmp_path / "scans"


def test_rows_of_a_picture_stay_together_and_the_draw_is_seeded(tmp_path: Path) -> None:
    rows = [row for row in scans(10) for _ in range(2)]
    write(tmp_path, rows)
    data = load(tmp_path, test_fraction=0.3)
    assert len(data.test) == 6
    assert not set(data.test["image"]) & set(data.train["image"])
    others = [load(tmp_path, test_fraction=0.3, split_seed=seed).test["id"][:] for seed in range(4)]
    assert others[0] == data.test["id"][:]
    assert any(other != others[0] for other in others)


def test_a_column_or_the_file_s_name_tells_the_split(tmp_path: Path) -> None:
    write(
        tmp_path, [{**row, "split": "Test" if i < 3 else "train"} for i, row in enumerate(scans(9))]
    )
    assert load(tmp_path).test["image"][:] == ["scans/0.png", "scans/1.png", "scans/2.png"]
    other = tmp_path / "other"
    write(other, scans(2), "test.jsonl")
    more = [{**row, "image": f"more/{i}.png"} for i, row in enumerate(scans(5))]
    write(other, more, "train.jsonl")
    assert [len(load(other).train), len(load(other).test)] == [5, 2]


def test_parquet_and_other_names_of_columns(tmp_path: Path) -> None:
    rows = scans(5)
    for i, row in enumerate(rows):
        picture(tmp_path / row["image"], (i, 0, 0))
    renamed = [{"q": r["question"], "a": r["answer"], "file": r["image"], "n": 3} for r in rows]
    pq.write_table(pa.Table.from_pylist(renamed), tmp_path / "all.parquet")
    columns = {"image": "file", "question": "q", "answer": "a"}
    data = load(tmp_path, columns=columns, task="classification")
    assert data.train["n"][:] == ["3"] * 4
    assert set(data.train["task"]) == {"classification"}


def test_boxes_in_pixels_and_corners_become_fractions(tmp_path: Path) -> None:
    rows = scans(2, task="detection", answer="it is at [20, 10, 60, 30]")
    write(
        tmp_path,
        [{**r, "split": s} for r, s in zip(rows, ("train", "test"), strict=True)],
        sized=(100, 50),
    )
    (corners,) = examples(load(tmp_path, boxes="pixels", box_form="xyxy").train, tmp_path)
    assert corners.answer == "it is at [0.20, 0.20, 0.40, 0.40]"
    (sizes,) = examples(load(tmp_path, boxes="pixels").train, tmp_path)
    assert parse_boxes(sizes.answer)[0].box == (0.2, 0.2, 0.6, 0.6)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"task": None}, "names no task.*dataset.task"),
        ({"split": "weekend"}, "'weekend'; use train, validation or test.*dataset.splits.weekend"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    rows = scans(4)
    write(tmp_path, rows)
    rows[2] = {k: v for k, v in {**rows[2], **change}.items() if v is not None}
    text = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "questions.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"Row 3 of .*questions\.jsonl.*{why}"):
        load(tmp_path)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no table \(.*\.csv.*\.jsonl.*\.parquet"):
        load(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(
        DataError, match=r"a\.jsonl has no column of a usual name for the image \(it has: a\)"
    ):
        load(tmp_path)
    (tmp_path / "a.jsonl").write_text("[]\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"Line 1 of .*a\.jsonl is no object"):
        load(tmp_path)
    (tmp_path / "a.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"Line 1 of .*a\.jsonl is no JSON"):
        load(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(b"\xfe\xfc")
    with pytest.raises(DataError, match=r"a\.jsonl is no UTF-8 text"):
        load(tmp_path)
    (tmp_path / "a.jsonl").rename(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as parquet"):
        load(tmp_path)


def test_bad_rows_are_found_by_the_check(tmp_path: Path) -> None:
    rows = scans(6)
    write(tmp_path, rows)
    (tmp_path / "scans" / "1.png").write_bytes(b"broken")
    rows[2]["answer"] = ""
    text = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "questions.jsonl").write_text(text, encoding="utf-8")
    found = examine_data(choices.dataset("folder", params(tmp_path)))
    assert [(p.file, p.record) for p in found.problems] == [
        ("questions.jsonl", "questions.jsonl-1"),
        ("questions.jsonl", "questions.jsonl-2"),
    ]


def test_the_folder_has_to_be_named() -> None:
    with pytest.raises(
        ConfigError, match=r"dataset.root is not set; .*dataset.root=<folder>.*hub=<org"
    ):
        load_data(choices.dataset("folder", params(None)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"boxes": "inches"}, "dataset.boxes='inches'.*fractions, pixels"),
        ({"box_form": "cxcywh"}, "dataset.box_form='cxcywh'.*xywh, xyxy"),
        ({"test_fraction": 1.0}, "test_fraction=1.0"),
        ({"columns": {"picture": "file"}}, "dataset.columns names 'picture'"),
        ({"task": "dancing"}, "dataset.task=dancing"),
    ],
)
def test_values_are_checked(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load(tmp_path, **change)
