import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from fedvlm_flwr.data.hub_rows import HubPictures, hub_columns, hub_rows, hub_splits, is_hub
from fedvlm_flwr.errors import DataError
from tests.miniatures import hub

COLUMNS = ["image", "question", "answer"]


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parquet")
    hub.build_vqa_rad(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    hub.build_saved_vqa_rad(folder)
    return folder


def write(path: Path, first: int, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"value": list(range(first, first + number))}), path)


def test_a_folder_of_parquet_files_and_a_saved_dataset_are_known(
    parquet: Path, saved: Path, tmp_path: Path
) -> None:
    assert is_hub(parquet)
    assert is_hub(saved)
    (tmp_path / "train.json").write_text("[]")
    assert not is_hub(tmp_path)


def test_parquet_and_saved_rows_are_the_same_and_pictures_stay_encoded(
    parquet: Path, saved: Path
) -> None:
    ours = list(hub_rows(parquet, COLUMNS))
    assert [(split, number) for split, number, _ in ours] == [
        *(("test", i) for i in range(4)),
        *(("train", i) for i in range(9)),
    ]
    assert ours[1][2] == {
        "image": {"bytes": hub.picture(20260), "path": None},
        "question": "how was this image taken?",
        "answer": "t2-weighted mri",
    }
    other = hub_rows(saved, COLUMNS)
    assert sorted(ours, key=lambda row: row[:2]) == sorted(other, key=lambda row: row[:2])


def test_splits_and_columns_are_told(parquet: Path, saved: Path) -> None:
    for folder in (parquet, saved):
        assert hub_splits(folder) == ["test", "train"]
        assert hub_columns(folder) == set(COLUMNS)


def test_only_the_asked_splits_and_columns_are_read(parquet: Path) -> None:
    rows = list(hub_rows(parquet, ["answer"], ["test"]))
    assert rows[0] == ("test", 0, {"answer": "no"})
    assert len(rows) == 4


def test_file_names_tell_the_split_and_rows_count_on_through_its_files(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train-00000-of-00002.parquet", 0, 70)
    write(tmp_path / "data" / "train-00001-of-00002-0f3a.parquet", 70, 70)
    write(tmp_path / "default" / "validation" / "0000.parquet", 500, 1)
    write(tmp_path / "test.parquet", 600, 1)
    rows = list(hub_rows(tmp_path, ["value"]))
    assert [(n, row["value"]) for split, n, row in rows if split == "train"] == [
        (i, i) for i in range(140)
    ]
    assert [(split, row["value"]) for split, _, row in rows if split != "train"] == [
        ("validation", 500),
        ("test", 600),
    ]


def test_one_saved_split_has_the_name_it_was_saved_with(tmp_path: Path) -> None:
    Dataset.from_dict({"value": [1, 2]}, split="train").save_to_disk(tmp_path / "named")
    assert list(hub_rows(tmp_path / "named", ["value"])) == [
        ("train", 0, {"value": 1}),
        ("train", 1, {"value": 2}),
    ]
    Dataset.from_dict({"value": [1]}).save_to_disk(tmp_path / "nameless")
    with pytest.raises(DataError, match="does not say which split it is; save a DatasetDict"):
        list(hub_rows(tmp_path / "nameless", ["value"]))


def test_a_missing_column_or_split_is_named(parquet: Path, saved: Path) -> None:
    for folder in (parquet, saved):
        with pytest.raises(DataError, match=r"has no column 'q_lang' \(its columns: image, quest"):
            list(hub_rows(folder, ["image", "q_lang"]))
        with pytest.raises(DataError, match=r"no split 'validation' \(it has: test, train\)"):
            list(hub_rows(folder, ["image"], ["validation"]))


def test_unreadable_folders_are_errors(parquet: Path, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no parquet file"):
        hub_splits(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(parquet, broken)
    (path,) = broken.rglob("test-*.parquet")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=rf"{path} cannot be read .*download it again"):
        list(hub_rows(broken, COLUMNS))
    damaged = tmp_path / "damaged"
    shutil.copytree(saved, damaged)
    (damaged / "train" / "state.json").write_text("{")
    with pytest.raises(DataError, match=f"{damaged} cannot be read"):
        list(hub_rows(damaged, COLUMNS))


def test_a_file_that_breaks_off_is_an_error_when_its_rows_come(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write(path, 0, 5_000)
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)  # the foot, which is read first, stays whole
    path.write_bytes(data)
    assert hub_splits(tmp_path) == ["train"]
    with pytest.raises(DataError, match=rf"{path} cannot be read"):
        list(hub_rows(tmp_path, ["value"]))


def test_equal_pictures_share_bytes_and_name(tmp_path: Path) -> None:
    pictures = HubPictures(tmp_path)
    one, name = pictures.take({"bytes": hub.picture(1), "path": None}, "Row 0")
    other, same = pictures.take({"bytes": hub.picture(1), "path": "other.jpg"}, "Row 1")
    assert one is other
    assert name == same
    assert len(name) == len("0123456789abcdef0123.jpg")
    assert pictures.take({"bytes": hub.picture(2, "PNG"), "path": None}, "Row 2")[1].endswith(
        ".png"
    )
    assert pictures.take({"bytes": b"no picture", "path": None}, "Row 3")[0] == b"no picture"


def test_a_picture_beside_the_table_is_a_file_below_the_folder(tmp_path: Path) -> None:
    pictures = HubPictures(tmp_path)
    taken = pictures.take({"bytes": None, "path": "images/7.png"}, "Row 0")
    assert taken == (tmp_path / "images/7.png", "images/7.png")
    for path in ("/etc/hostname", "../7.png"):
        with pytest.raises(DataError, match=f"Row 4 names the picture '{path}' outside"):
            pictures.take({"bytes": None, "path": path}, "Row 4")
    for value in (None, "7.png", {"bytes": b"", "path": None}):
        with pytest.raises(DataError, match="Row 5 holds no picture"):
            pictures.take(value, "Row 5")
