"""Reading pictures from disk."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from fedvlm_flwr.errors import DataError


def open_picture(path: Path) -> Image.Image:
    """A picture as RGB.

    Raises:
        DataError: the file is missing or is not a picture that can be decoded; names its path.
    """
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except FileNotFoundError as error:
        raise DataError(f"There is no picture {path}; check the dataset's folder.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"The picture {path} cannot be read ({error}); replace or remove it."
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(f"The picture {path} is too large to be read safely: {error}") from error
