from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from fedvlm_flwr.data.shape_pixels import MeasuredShape, measure
from fedvlm_flwr.errors import DataError

LIGHT = (233, 238, 234)


def drawn(path: Path, shape: str, at: tuple[int, int, int, int], color: str) -> Path:
    picture = Image.new("RGB", (64, 64), LIGHT)
    pen = ImageDraw.Draw(picture)
    left, top, right, bottom = at
    if shape == "triangle":
        middle = (left + right) // 2
        pen.polygon([(left, bottom), (right, bottom), (middle, top)], fill=color)
    else:
        getattr(pen, {"circle": "ellipse"}.get(shape, shape))(at, fill=color)
    picture.save(path)
    return path


def test_shape_colour_and_box_by_hand(tmp_path: Path) -> None:
    # Corners of ImageDraw are inclusive: columns 16 to 31 are 16 of 64.
    paths = [
        drawn(tmp_path / "1.png", "rectangle", (16, 8, 31, 39), "teal"),
        drawn(tmp_path / "2.png", "circle", (0, 0, 31, 31), "black"),
        drawn(tmp_path / "3.png", "triangle", (32, 32, 63, 63), "gray"),
    ]
    assert measure(paths) == [
        MeasuredShape("rectangle", "teal", (0.25, 0.125, 0.25, 0.5)),
        MeasuredShape("circle", "black", (0.0, 0.0, 0.5, 0.5)),
        MeasuredShape("triangle", "gray", (0.5, 0.5, 0.5, 0.5)),
    ]


def test_a_shape_in_the_corner_is_not_the_background(tmp_path: Path) -> None:
    path = drawn(tmp_path / "1.png", "rectangle", (0, 0, 31, 31), "red")
    assert measure([path]) == [MeasuredShape("rectangle", "red", (0.0, 0.0, 0.5, 0.5))]


def test_no_pictures() -> None:
    assert measure([]) == []


def test_an_empty_picture_is_named(tmp_path: Path) -> None:
    good = drawn(tmp_path / "1.png", "circle", (8, 8, 39, 39), "blue")
    Image.new("RGB", (64, 64), LIGHT).save(tmp_path / "empty.png")
    with pytest.raises(DataError, match=r"empty\.png shows no shape"):
        measure([good, tmp_path / "empty.png"])


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    good = drawn(tmp_path / "1.png", "circle", (8, 8, 39, 39), "blue")
    Image.new("RGB", (32, 64), LIGHT).save(tmp_path / "thin.png")
    with pytest.raises(DataError, match=r"thin\.png has \(64, 32\)"):
        measure([good, tmp_path / "thin.png"])


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.png cannot be measured"):
        measure([tmp_path / "text.png"])
