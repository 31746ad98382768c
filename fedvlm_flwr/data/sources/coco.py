"""COCO as classification: the category of a picture (Lin et al., 2014, arXiv 1405.0312).

    <raw>/annotations/instances_train2017.json    images, annotations, categories
    <raw>/train2017/000000000009.jpg

and the same for val2017, train2014 and val2014, whose pictures are called
`COCO_train2014_000000000009.jpg`. Boxes are [x, y, width, height] in pixels. Crowds (`iscrowd` 1,
a region of many objects) do not count.

What else reads COCO's pictures or annotations finds its tools here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvlm_flwr.data.sources.base import (
    Item,
    key_of,
    read_json,
    require,
    require_class_form,
    require_form,
)
from fedvlm_flwr.errors import DataError

Raw = Mapping[str, Any]

FILES = {  # the folders of pictures, and what a picture is called there
    "train2014": "COCO_train2014_{:012d}.jpg",
    "val2014": "COCO_val2014_{:012d}.jpg",
    "train2017": "{:012d}.jpg",
    "val2017": "{:012d}.jpg",
}


@dataclass(frozen=True)
class Params:
    """Which pictures are taken, and what is asked of them."""

    single_category: bool
    """Whether only pictures with objects of one category are taken; else the label is the
    category with the largest area, summed over its objects."""
    train_splits: list[str]
    """The source's own splits (train2017, val2017, ...) whose pictures are training records."""
    test_splits: list[str]
    """Those that are test records."""
    question: str
    """What is asked of every image."""
    answer: str
    """{label} stands for the category."""

    def __post_init__(self) -> None:
        require_form("answer", self.answer, "label")
        require_class_form("answer", self.answer)


def read(raw: Path, params: Params) -> Iterator[Item]:
    """One question a picture with an object; its fields are category and supercategory.

    Raises:
        DataError: a file or folder is missing, or the annotations are not COCO's.
    """
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            path = raw / "annotations" / f"instances_{name}.json"
            instances = read_instances(path)
            require(raw / name, f"the folder of COCO's pictures {name}")
            for image, category in _labels(instances, path, params.single_category):
                file = str(key_of(image, "file_name", f"An image of {path}"))
                label = str(key_of(category, "name", f"A category of {path}"))
                group = str(key_of(category, "supercategory", f"A category of {path}"))
                yield Item(
                    id=str(image["id"]),
                    split=split,
                    task="classification",
                    picture=raw / name / file,
                    image=f"coco/{name}/{file}",
                    question=params.question,
                    answer=params.answer.replace("{label}", label),
                    fields={"supercategory": group, "category": label},
                )


@dataclass(frozen=True)
class Instances:
    """An annotation file: images, annotations and categories by their id."""

    images: dict[int, Raw]
    annotations: dict[int, Raw]
    categories: dict[int, Raw]


def read_instances(path: Path) -> Instances:
    """Read an annotation file without its outlines, which would take most of the memory.

    Raises:
        DataError: it is missing, is no JSON, or has not the three lists of objects with ids.
    """
    content = read_json(path, "the annotations of COCO's objects", _without_outline)
    parts: list[dict[int, Raw]] = []
    for key in ("images", "annotations", "categories"):
        records = key_of(content, key, str(path))
        if not isinstance(records, list):
            raise DataError(f"'{key}' of {path} is no list; download it again.")
        parts.append({key_of(one, "id", f"One of the {key} of {path}"): one for one in records})
    return Instances(*parts)


@dataclass(frozen=True)
class Pictures:
    """The pictures of a COCO tree, whatever years of it there are."""

    root: Path
    folders: list[str]

    def find(self, image_id: int) -> tuple[Path, str]:
        """The file of a picture and its place in a dataset; a missing one is in the first folder.

        A picture of 2014 is also one of 2017, under another name.
        """
        places = [f"{folder}/{FILES[folder].format(image_id)}" for folder in self.folders]
        place = next((one for one in places if (self.root / one).is_file()), places[0])
        return self.root / place, f"coco/{place}"


def coco_pictures(root: Path) -> Pictures:
    """The picture folders that a COCO tree has.

    Raises:
        DataError: it has none.
    """
    folders = [folder for folder in FILES if (root / folder).is_dir()]
    if not folders:
        raise DataError(
            f"{root} holds none of COCO's picture folders ({', '.join(FILES)}); unpack one there, "
            "or change `pictures`."
        )
    return Pictures(root, folders)


def _without_outline(record: dict[str, Any]) -> dict[str, Any]:
    record.pop("segmentation", None)
    return record


def _labels(instances: Instances, path: Path, single: bool) -> Iterator[tuple[Raw, Raw]]:
    """The images that have a label, with its category."""
    areas: dict[int, dict[int, float]] = {}
    for annotation in instances.annotations.values():
        where = f"Annotation {annotation['id']} of {path}"
        if key_of(annotation, "iscrowd", where):
            continue
        image, category = (key_of(annotation, key, where) for key in ("image_id", "category_id"))
        if image not in instances.images or category not in instances.categories:
            raise DataError(
                f"{where} names the image {image} and the category {category}, which are not both "
                "there; download it again."
            )
        own = areas.setdefault(image, {})
        own[category] = own.get(category, 0.0) + key_of(annotation, "area", where)
    for image, record in instances.images.items():
        own = areas.get(image, {})
        if len(own) == 1 or (own and not single):
            largest = max(sorted(own), key=own.__getitem__)  # of equal areas, the lowest id's
            yield record, instances.categories[largest]
