"""RefCOCO with a dozen references; its pictures go to the folder `coco` beside its own."""

import json
import struct
from pathlib import Path
from typing import Any

from tests.miniatures.coco import annotation, categories, draw, image

# Split, reference, object, picture, width, height, category, box in pixels, its sentences.
# Bytes are a Python 2 `str` with letters that are none of ASCII.
REFERENCES: tuple[tuple[Any, ...], ...] = (
    (
        "train",
        0,
        1719310,
        581857,
        80,
        40,
        1,
        [40.0, 10.0, 20.0, 20.0],
        ["man on the right", "tall"],
    ),
    ("train", 1, 1719311, 581857, 80, 40, 8, [0, 0, 32, 36], ["the truck"]),
    ("train", 2, 1719312, 581861, 40, 80, 17, [4.0, 16.0, 32.0, 48.0], ["grey cat's face"]),
    ("train", 3, 1719313, 581864, 64, 50, 58, [16, 5, 32, 25], [b"hot dog from the caf\xc3\xa9"]),
    ("train", 4, 1719314, 581867, 50, 64, 18, [5, 8, 25, 32], ['dog w/ a "red" collar', "dog"]),
    ("train", 5, 1719315, 581873, 60, 40, 1, [15, 4, 30, 36], ["woman in \u00e9cru"]),
    ("val", 6, 1719316, 581881, 40, 60, 17, [10, 15, 20, 30], ["cat near the window"]),
    ("testA", 7, 1719317, 581884, 64, 48, 1, [8, 6, 24, 36], ["kid in blue", "left kid", "boy"]),
    ("testA", 8, 1719318, 581887, 48, 64, 1, [12, 16, 24, 32], ["lady with the bag"]),
    ("testB", 9, 1719319, 581897, 80, 60, 8, [20, 15, 40, 30], ["white truck"]),
    ("testB", 10, 1719320, 581899, 60, 80, 18, [6, 8, 30, 40], ["puppy"]),
    ("testB", 11, 1719321, 581900, 80, 50, 64, [40, 10, 30, 35], ["plant by the door"]),
)


def build(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "refs(unc).p").write_bytes(python2_pickle(references()))
    images, annotations = {}, []
    for _, _, number, picture, width, height, category, box, _ in REFERENCES:
        file = f"COCO_train2014_{picture:012d}.jpg"
        images[picture] = image(picture, (width, height), file)
        annotations.append(annotation(number, picture, category, 0, box))
        path = folder.parent / "coco" / "train2014" / file
        if not path.exists():
            draw(path, picture, (width, height), box)
    content = {"info": {"year": 2014}, "licenses": [], "categories": categories()}
    content |= {"images": list(images.values()), "annotations": annotations}
    (folder / "instances.json").write_text(json.dumps(content))


def references() -> list[Any]:
    """The references as the public file has them."""
    found, number = [], 0
    for split, ref, ann, picture, _, _, category, _, texts in REFERENCES:
        sentences = []
        for text in texts:
            tokens = text.split()
            sentences.append({"tokens": tokens, "raw": text, "sent_id": number, "sent": text})
            number += 1
        found.append(
            {
                "sent_ids": [one["sent_id"] for one in sentences],
                "file_name": f"COCO_train2014_{picture:012d}_{ref}.jpg",
                "ann_id": ann,
                "ref_id": ref,
                "image_id": picture,
                "split": split,
                "sentences": sentences,
                "category_id": category,
            }
        )
    return found


def python2_pickle(value: Any) -> bytes:
    """Protocol 2 as Python 2 writes it: its `str` as SHORT_BINSTRING, every object memoised."""
    memo: dict[bytes, int] = {}
    puts = 0

    def put() -> bytes:
        nonlocal puts
        puts += 1
        return b"q" + bytes([puts]) if puts < 256 else b"r" + struct.pack("<I", puts)

    def text(data: bytes) -> bytes:
        if data in memo:  # Python 2 interns the keys
            place = memo[data]
            return b"h" + bytes([place]) if place < 256 else b"j" + struct.pack("<I", place)
        written = b"U" + bytes([len(data)]) + data + put()
        memo[data] = puts
        return written

    def write(one: Any) -> bytes:
        if isinstance(one, bytes):
            return text(one)
        if isinstance(one, str) and one.isascii():
            return text(one.encode())
        if isinstance(one, str):
            data = one.encode()
            return b"X" + struct.pack("<I", len(data)) + data + put()
        if isinstance(one, int):
            return b"K" + bytes([one]) if one < 256 else b"J" + struct.pack("<i", one)
        if isinstance(one, list):
            return b"]" + put() + b"(" + b"".join(write(part) for part in one) + b"e"
        pairs = (write(key) + write(part) for key, part in one.items())
        return b"}" + put() + b"(" + b"".join(pairs) + b"u"

    return b"\x80\x02" + write(value) + b"."
