import io
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.sources import radgenome
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.boxes import LabeledBox, parse_boxes
from tests.miniatures import radgenome as miniature

VALUES: dict[str, Any] = {
    "trees": {
        "train": {
            "reports": "radgenome_files/train_region_report.csv",
            "volumes": "train_preprocessed",
            "masks": "train_region_mask",
        },
        "validation": {
            "reports": "radgenome_files/validation_region_report.csv",
            "volumes": "valid_preprocessed",
            "masks": "valid_region_mask",
        },
    },
    "train_splits": ["train"],
    "test_splits": ["validation"],
    "mask_file": "seg_{volume}/{region}.nii.gz",
    "max_volumes": None,
    "window_center": -300,
    "window_width": 1400,
    "question": "Where is the {region}?",
    "answer": "The coordinates of the {region} are {box}.",
    "labelled": False,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("radgenome")
    miniature.build(folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "raw")


def params(**changes: Any) -> radgenome.Params:
    return typed(radgenome.Params, {**VALUES, **changes}, "radgenome")


def read(raw: Path, **changes: Any) -> list[Item]:
    return list(radgenome.read(raw, params(**changes)))


def made(item: Item) -> bytes:
    assert callable(item.picture)
    return item.picture()


def test_an_item_is_the_box_on_the_slice_that_the_region_covers_most_of(whole: Path) -> None:
    first = replace(read(whole)[0], picture=b"")
    # 24 columns, 20 rows: the heart covers voxels 4..9 from the left, 11..15 from the back, and the
    # levels 3..5 alike.
    assert first == Item(
        id="train_1_a_1-heart",
        split="train",
        task="detection",
        picture=b"",
        image="radgenome/train_1_a_1_3.png",
        question="Where is the heart?",
        answer="The coordinates of the heart are [0.583333, 0.20, 0.25, 0.25].",
        fields={"region": "heart"},
    )


def test_regions_without_a_mask_and_volumes_without_a_file_ask_nothing(whole: Path) -> None:
    assert [item.id for item in read(whole)] == [
        "train_1_a_1-heart",
        "train_1_a_1-lung",
        "train_1_a_1-trachea and bronchie",
        "train_2_a_1-heart",
        "train_2_a_1-lung",
        "train_2_a_1-trachea and bronchie",
        "train_2_a_2-heart",
        "train_2_a_2-lung",
        "valid_1_a_1-heart",
        "valid_1_a_1-lung",
        "valid_2_a_1-lung",
        "valid_2_a_1-trachea and bronchie",
    ]
    assert (whole / "train_region_mask" / "seg_train_9_a_1" / "heart.nii.gz").is_file()
    assert (whole / "train_region_mask" / "seg_train_1_a_1" / "thyroid.nii.gz").is_file()
    assert Counter(item.split for item in read(whole)) == {"train": 8, "test": 4}


def test_boxes_are_the_same_whichever_way_volume_and_mask_are_stored(whole: Path) -> None:
    answers: dict[str, set[str]] = {}
    for item in read(whole):
        answers.setdefault(item.fields["region"], set()).add(item.answer.partition(" are ")[2])
    assert answers == {
        "heart": {"[0.583333, 0.20, 0.25, 0.25]."},
        "lung": {"[0.083333, 0.30, 0.833333, 0.50]."},  # of level 1, where it is widest
        "trachea and bronchie": {"[0.416667, 0.40, 0.125, 0.10]."},
    }


def test_pictures_are_drawn_with_the_front_up_and_the_left_on_the_right(whole: Path) -> None:
    hearts = [item for item in read(whole) if item.fields["region"] == "heart"]
    grey = []
    for item in hearts:
        with Image.open(io.BytesIO(made(item))) as picture:
            grey.append(np.asarray(picture))
    for number, values in enumerate(grey[:3]):
        assert values.shape == (20, 24)
        assert (values[4:9, 14:20] == 189).all()  # 40 HU, of -1000 to 400 in 255 steps
        assert Counter(values.ravel().tolist())[189] == 5 * 6
        assert (values[18:] == (200, 199, 197)[number]).all()  # the couch, at the back
        assert (values[:4] == (0, 1, 2)[number]).all()  # air
        assert (values[9:15, 21:] == (0, 1, 2)[number]).all()
        assert (values[9:15, 3:14] == 36).all()  # lung


def test_a_window_changes_the_picture_and_nothing_else(whole: Path) -> None:
    one, other = read(whole)[0], read(whole, window_center=40, window_width=400)[0]
    assert replace(one, picture=b"") == replace(other, picture=b"")
    with Image.open(io.BytesIO(made(other))) as picture:
        assert picture.getpixel((14, 4)) == 128  # the window's middle
        assert picture.getpixel((0, 0)) == 0


def test_reading_twice_gives_the_same(whole: Path) -> None:
    one, other = ([replace(item, picture=made(item)) for item in read(whole)] for _ in range(2))
    assert one == other
    assert len({item.picture for item in one}) == len({item.image for item in one}) == 12


def test_a_box_can_carry_its_name(whole: Path) -> None:
    item = read(whole, answer="The object is {box}.", labelled=True)[2]
    assert item.answer == "The object is {'trachea and bronchie': [0.416667, 0.40, 0.125, 0.10]}."
    assert parse_boxes(item.answer) == [
        LabeledBox((0.416667, 0.4, 0.125, 0.1), "trachea and bronchie")
    ]


def test_the_first_volumes_of_each_split_can_be_taken(whole: Path) -> None:
    names = [item.id.partition("-")[0] for item in read(whole, max_volumes=1)]
    assert Counter(names) == {"train_1_a_1": 3, "valid_1_a_1": 2}
    every = [item.id for item in read(whole)]
    assert [item.id for item in read(whole, max_volumes=3)] == every


def test_a_mask_of_another_shape_is_an_error(copy: Path) -> None:
    path = copy / "train_region_mask" / "seg_train_2_a_1" / "lung.nii.gz"
    miniature.save(np.ones((24, 20, 7), np.uint8), miniature.LPS, path)
    with pytest.raises(DataError, match=rf"mask {path} has the shape \(7, 20, 24\).*\(8, 20, 24\)"):
        read(copy)


def test_a_volume_that_is_there_twice_is_an_error(copy: Path) -> None:
    twin = copy / "train_preprocessed" / "other" / "train_1_a_1.nii.gz"
    twin.parent.mkdir()
    twin.write_bytes(b"")
    with pytest.raises(DataError, match="have the same name; remove one"):
        read(copy)


def test_a_broken_volume_or_mask_is_an_error(copy: Path) -> None:
    items = read(copy)
    path = copy / "train_preprocessed" / "train_1" / "train_1a" / "train_1_a_1.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"The volume {path} cannot be read"):
        items[0].picture()  # type: ignore[operator]
    path = copy / "valid_region_mask" / "seg_valid_1_a_1" / "heart.nii.gz"
    path.write_bytes(b"0")
    with pytest.raises(DataError, match=f"The volume {path} cannot be read"):
        read(copy)


def test_missing_files_and_columns_are_errors(copy: Path) -> None:
    reports = copy / "radgenome_files" / "validation_region_report.csv"
    reports.write_text(reports.read_text().replace("Anatomy", "Region", 1))
    with pytest.raises(DataError, match="has no column 'Anatomy'"):
        read(copy)
    reports.unlink()
    with pytest.raises(DataError, match=f"There is no {reports}"):
        read(copy)
    for name in ("train_region_mask", "train_preprocessed"):
        (copy / name).rename(copy / "elsewhere")
        with pytest.raises(DataError, match=rf"There is no {copy}/{name}"):
            read(copy)
        (copy / "elsewhere").rename(copy / name)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"question": "Where is it?"}, r"question='Where is it\?' must hold {region} exactly once"),
        ({"answer": "{region}"}, "answer='{region}' must hold {box} exactly once"),
        ({"answer": "{box} or {box}"}, "must hold {box} exactly once"),
        ({"mask_file": "{volume}.nii.gz"}, "mask_file=.* must hold {region} exactly once"),
        (
            {"test_splits": ["valid"]},
            "test_splits of .* names 'valid'; choose of train, v",
        ),
        ({"window_width": 0}, r"window_width=0\.0 must be in"),
        ({"max_volumes": 0}, "max_volumes=0 must be in"),
    ],
)
def test_values_that_cannot_be_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        params(**changes)
