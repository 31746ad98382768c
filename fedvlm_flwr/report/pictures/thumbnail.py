"""A dataset's picture, small, as text for a page."""

import base64
from io import BytesIO
from pathlib import Path

from fedvlm_flwr.images.reading import open_image

LONGEST = 320  # pixels of a side
SMALL = 128  # pixels up to which a side is exact, as a PNG; larger pictures are JPEGs


def thumbnail(path: Path) -> tuple[str, tuple[int, int]]:
    """A data URI, and width and height in pixels.

    Raises:
        DataError: the picture cannot be read.
    """
    picture = open_image(path)
    picture.thumbnail((LONGEST, LONGEST))
    page = BytesIO()
    is_small = max(picture.size) <= SMALL
    if is_small:
        picture.save(page, format="PNG", optimize=True)
    else:
        picture.save(page, format="JPEG", quality=80, optimize=True)
    kind = "png" if is_small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(page.getvalue()).decode()}", picture.size
