"""Pictures of every kind come in as upright 8-bit RGB, and sizes agree without decoding."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.images.reading import image_size_of, open_image, square

# How the stored pixels are turned to be upright, by EXIF orientation.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BACK = {Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90}
BACK |= {other: one for one, other in BACK.items()}


def scene() -> Image.Image:
    """32 x 16 pixels, no two of its eight fields alike."""
    fields = np.arange(8, dtype=np.uint8).reshape(2, 4) * 30
    values = np.kron(fields, np.ones((8, 8), dtype=np.uint8))
    return Image.fromarray(np.stack([values, 255 - values, values // 2], axis=-1))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "LA", "RGBA", "CMYK"])
def test_pictures_without_a_tag_are_what_pillow_converts(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    scene().convert(mode).save(path)
    with Image.open(path) as plain:
        assert plain.mode == mode
        expected = plain.convert("RGB")
    found = open_image(path)
    assert found.mode == "RGB"
    assert found.tobytes() == expected.tobytes()
    assert image_size_of(path) == found.size == (32, 16)


def test_transparency_is_dropped_and_the_colour_below_it_kept(tmp_path):
    Image.new("RGBA", (2, 2), (200, 10, 30, 0)).save(tmp_path / "clear.png")
    assert open_image(tmp_path / "clear.png").getpixel((0, 0)) == (200, 10, 30)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_and_their_size_is_told_so(tmp_path, suffix, orientation):
    turn = UPRIGHT.get(orientation)
    stored = scene() if turn is None else scene().transpose(BACK.get(turn, turn))
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"a.{suffix}"
    stored.save(path, exif=tags, quality=100)
    found = open_image(path)
    assert found.size == image_size_of(path) == (32, 16)
    far = np.abs(np.asarray(found, dtype=int) - np.asarray(scene(), dtype=int))
    assert np.median(far) <= 4  # JPEG blurs colours; another way up would be 30 and more


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_size_needs_no_pixels(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(noise).save(whole)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[:2000])
    assert image_size_of(cut) == (400, 300)
    with pytest.raises(DataError, match=rf"cut\.{suffix} cannot be read"):
        open_image(cut)


def grey(path: Path, values: list[float], kind: type) -> list[int]:
    """One row of values saved as grey of a kind, and what comes in."""
    Image.fromarray(np.array([values], dtype=kind)).save(path)
    found = np.asarray(open_image(path))
    assert (found == found[..., :1]).all()
    return found[0, :, 0].tolist()


def test_deep_grey_is_stretched_from_its_darkest_to_its_brightest(tmp_path):
    # 12 bits in a 16-bit file: 4000 - 80 = 3920 becomes 255
    assert grey(tmp_path / "a.png", [80, 2040, 4000, 1060], np.uint16) == [0, 128, 255, 64]
    assert grey(tmp_path / "b.tif", [0, 65535, 257], np.uint16) == [0, 255, 1]
    assert grey(tmp_path / "c.tif", [-1000, 3000, 1000], np.int32) == [0, 255, 128]
    assert grey(tmp_path / "d.tif", [0.5, 0.75, 1.5], np.float32) == [0, 64, 255]


def test_deep_grey_of_one_value_is_black_and_of_eight_bits_range_as_it_was(tmp_path):
    assert grey(tmp_path / "a.png", [900, 900], np.uint16) == [0, 0]
    assert grey(tmp_path / "b.png", [0, 17, 200, 255], np.uint16) == [0, 17, 200, 255]


def test_grey_that_is_not_finite_is_refused_by_name(tmp_path):
    for i, value in enumerate((float("nan"), float("inf"))):
        with warnings.catch_warnings(), pytest.raises(DataError, match=rf"{i}\.tif .*not finite"):
            warnings.simplefilter("error")
            grey(tmp_path / f"{i}.tif", [0.0, value, 1.0], np.float32)


@pytest.mark.parametrize("read", [open_image, image_size_of])
def test_what_is_no_picture_is_named(tmp_path, read, monkeypatch):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png cannot be read"):
        read(tmp_path / "broken.png")
    with pytest.raises(DataError, match=r"no picture .*missing\.png"):
        read(tmp_path / "missing.png")
    scene().save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"large\.png is too large"):
        read(tmp_path / "large.png")


def test_a_stripe_whose_square_would_fill_the_memory_is_named(tmp_path):
    Image.new("L", (20000, 2)).save(tmp_path / "stripe.png")
    assert open_image(tmp_path / "stripe.png").size == (20000, 2)
    with pytest.raises(DataError, match=r"stripe\.png is too large .*20000 x 2"):
        open_image(tmp_path / "stripe.png", margin=(0, 0, 0))


def test_broken_tags_turn_nothing_and_hide_no_picture(tmp_path):
    scene().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00no tags")
    assert image_size_of(tmp_path / "a.jpg") == open_image(tmp_path / "a.jpg").size == (32, 16)


def test_a_picture_lies_in_the_middle_of_its_square():
    picture = Image.new("RGB", (2, 5), "red")
    whole = square(picture, (1, 2, 3))
    assert whole.size == (5, 5)
    row = [whole.getpixel((x, 4)) for x in range(5)]
    margin, red = (1, 2, 3), (255, 0, 0)
    assert row == [margin, red, red, margin, margin]
    assert square(whole, (1, 2, 3)) is whole
    lying = square(picture.transpose(Image.Transpose.ROTATE_90), margin)
    assert [lying.getpixel((0, y)) for y in range(5)] == row
