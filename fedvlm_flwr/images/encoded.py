"""Pictures as bytes."""

import io

from PIL import Image, UnidentifiedImageError

from fedvlm_flwr.images.reading import FORMATS


def ending_of(data: bytes) -> str:
    """The ending for a file of an encoded picture: `.png`, `.jpg`; `.unknown`, if it is none."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            kind = (picture.format or "unknown").lower()
    except (UnidentifiedImageError, OSError):  # the check tells that it cannot be read
        return ".unknown"
    return {"jpeg": ".jpg"}.get(kind, f".{kind}")
