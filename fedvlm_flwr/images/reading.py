"""Reading pictures from disk.

Every picture becomes 8-bit RGB, the way up that its EXIF orientation says. Colours are converted as
CLIP's own processing does: transparency is dropped, a palette is looked up, an animation is its
first frame. Grey of more than 8 bits (16-bit scans, integers, floats) has no such rule: its range
is stretched, darkest value to 0 and brightest to 255, since scanners leave most of the 65,536
values unused and what they use would be all but black.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from fedvlm_flwr.errors import DataError

Color = tuple[int, int, int]

READING = "upright, deep grey by its range"  # names this module's rules, for caches of features
# What is tried on a file, whatever its name; of Pillow's others some start programs (EPS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
MOST_PIXELS = 2 * 89_478_485  # Pillow opens none that have more
DEEP = ("I", "F")  # what the modes of grey beyond 8 bits begin with
UPRIGHT = {  # how stored pixels are turned, by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # those that exchange width and height


def open_image(path: Path, margin: Color | None = None) -> Image.Image:
    """A picture as RGB, upright.

    Args:
        path: its file.
        margin: the colour to pad it with to a square, see `square`; None: it is not padded.

    Raises:
        DataError: the file is missing or is not a picture that can be decoded, or it is too large
            for the memory; names its path.
    """
    with opened(path) as picture:
        turn = UPRIGHT.get(_orientation(picture))
        shallow = _stretched(picture) if picture.mode.startswith(DEEP) else picture
        colors = shallow.convert("RGB")
        upright = colors if turn is None else colors.transpose(turn)
        return upright if margin is None else square(upright, margin)


def image_size_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels of what `open_image` gives, from the file's header alone.

    Raises:
        DataError: the file is missing or is not a picture; names its path.
    """
    try:
        status = path.stat()
    except OSError:
        return _size_in_header(path)  # which says what is wrong
    return _known_size(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1 << 13)
def _known_size(path: Path, _bytes: int, _changed: int) -> tuple[int, int]:
    return _size_in_header(path)


def _size_in_header(path: Path) -> tuple[int, int]:
    with opened(path) as picture:
        width, height = picture.size
        return (height, width) if _orientation(picture) in SIDEWAYS else (width, height)


def square(picture: Image.Image, color: Color) -> Image.Image:
    """A picture in the middle of a square of its longer side; a square one is returned as it is.

    Where the colour on both sides cannot be equally wide, right or bottom gets the pixel more.

    Raises:
        Image.DecompressionBombError: the square has more pixels than Pillow would read.
    """
    width, height = picture.size
    if width == height:
        return picture
    side = max(width, height)
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and side**2 > 2 * most:  # twice, as Pillow itself refuses
        raise Image.DecompressionBombError(
            f"its {width} x {height} pixels make a square of more than {2 * most}"
        )
    whole = Image.new("RGB", (side, side), color)
    whole.paste(picture, ((side - width) // 2, (side - height) // 2))
    return whole


@contextmanager
def opened(path: Path, max_pixels: int = MOST_PIXELS) -> Iterator[Image.Image]:
    """A picture of which nothing but the header is read yet.

    Raises:
        DataError: the file is missing, is no regular file (a pipe would never end) or none of
            `FORMATS`, or has more pixels than `max_pixels`; names its path. So does what Pillow
            raises while the picture is open.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no regular file")
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise Image.DecompressionBombError(
                    f"its {width} x {height} pixels are more than the {max_pixels} of max_pixels"
                )
            yield picture
    except FileNotFoundError as error:
        raise DataError(
            f"There is no picture {path}; check the path, or the dataset's folder."
        ) from error
    # Pillow reports broken pictures with SyntaxError and ValueError as well.
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"The picture {path} cannot be read ({error}); replace or remove it."
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(f"The picture {path} is too large to be read safely: {error}") from error


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation that the header states and that is still to be applied, 1 for none."""
    if picture.format == "TIFF":  # Pillow turns these by itself, and tells the size of the result
        return 1
    # The base class's: a PNG's own would decode the picture to look behind its pixels.
    orientation = Image.Image.getexif(picture).get(ExifTags.Base.Orientation)
    return orientation if isinstance(orientation, int) else 1


def _stretched(picture: Image.Image) -> Image.Image:
    """Deep grey as 8 bits, from its darkest value to its brightest; of one value: black.

    Raises:
        ValueError: a value is not finite.
    """
    values = np.asarray(picture, dtype=np.float64)  # [height, width]
    low, high = values.min(), values.max()
    if not np.isfinite(high - low):
        raise ValueError("it holds values that are not finite")
    scaled = (values - low) * (255 / (high - low) if high > low else 0)
    return Image.fromarray(scaled.round().astype(np.uint8))
