"""A COCO tree of 2017 with a dozen pictures, and the pictures that other sources take from it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

Size = tuple[int, int]

CATEGORIES = (
    (1, "person", "person"),
    (8, "truck", "vehicle"),
    (17, "cat", "animal"),
    (18, "dog", "animal"),
    (58, "hot dog", "food"),
    (64, "potted plant", "furniture"),
)

# Split, picture, width, height, and its objects: category, crowd or not, box in pixels.
PICTURES: Sequence[tuple[str, int, int, int, Sequence[tuple[int, int, list[float]]]]] = (
    ("train2017", 9, 64, 48, [(58, 0, [8.5, 4.25, 32.0, 24.0])]),
    ("train2017", 25, 48, 64, [(17, 0, [4, 8, 12, 16]), (17, 0, [20, 8, 12, 16])]),
    ("train2017", 30, 60, 40, [(64, 0, [3, 4, 30, 30])]),
    ("train2017", 34, 40, 60, [(18, 0, [0, 0, 40, 60])]),
    ("train2017", 36, 64, 40, [(1, 0, [2, 2, 10, 30]), (8, 0, [20, 4, 40, 30])]),
    ("train2017", 42, 50, 40, [(1, 1, [0, 0, 50, 40])]),
    ("train2017", 49, 50, 44, [(8, 0, [1, 1, 30, 20]), (1, 1, [0, 20, 50, 24])]),
    ("train2017", 61, 44, 50, []),
    ("val2017", 139, 64, 42, [(1, 0, [10, 2, 20, 38])]),
    ("val2017", 285, 46, 64, [(17, 0, [3, 3, 40, 40])]),
    ("val2017", 632, 64, 52, [(8, 0, [5, 5, 30, 30])]),
    ("val2017", 724, 40, 64, [(58, 0, [4, 4, 20, 12]), (1, 0, [4, 20, 10, 10])]),
)


def draw(path: Path, number: int, size: Size, box: Sequence[float] | None = None) -> None:
    """A picture that no other number has: a plain ground, and a rectangle where the box is."""
    ground = (number * 37 % 256, number * 91 % 256, number * 151 % 256)
    picture = Image.new("RGB", size, ground)
    x, y, width, height = box or (0, 0, size[0] / 2, size[1] / 2)
    inverse = tuple(255 - value for value in ground)
    ImageDraw.Draw(picture).rectangle((x, y, x + width - 1, y + height - 1), fill=inverse)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def annotation(number: int, image: int, category: int, crowd: int, box: list[float]) -> Any:
    """An object as COCO's files have it."""
    x, y, width, height = box
    outline = [x, y, x + width, y, x + width, y + height]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": {"counts": [0, 9], "size": [3, 3]} if crowd else [outline],
        "area": width * height / 2,
        "bbox": box,
        "iscrowd": crowd,
    }


def categories() -> Any:
    """The list of categories of a file."""
    return [{"id": i, "name": name, "supercategory": over} for i, name, over in CATEGORIES]


def image(number: int, size: Size, file_name: str) -> Any:
    """A picture as COCO's files have it."""
    width, height = size
    about = {"license": 1, "date_captured": "2013-11-14 11:18:45", "coco_url": "", "flickr_url": ""}
    return {"id": number, "file_name": file_name, "width": width, "height": height, **about}


def build(folder: Path) -> None:
    for split in ("train2017", "val2017"):
        images, annotations = [], []
        for _, number, *size, objects in (one for one in PICTURES if one[0] == split):
            file = f"{number:012d}.jpg"
            first = objects[0][2] if objects else None
            draw(folder / split / file, number, (size[0], size[1]), first)
            images.append(image(number, (size[0], size[1]), file))
            for i, (category, crowd, box) in enumerate(objects):
                annotations.append(annotation(number * 10 + i, number, category, crowd, box))
        content = {"info": {"year": 2017}, "licenses": [], "categories": categories()}
        path = folder / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**content, "images": images, "annotations": annotations}))
