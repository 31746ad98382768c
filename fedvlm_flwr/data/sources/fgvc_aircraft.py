"""FGVC-Aircraft: which aircraft is it (Maji et al., 2013, arXiv 1306.5151).

    <raw>/data/images/0034309.jpg
    <raw>/data/images_variant_train.txt         "0034309 707-320": a picture and its class a line
    <raw>/data/images_family_train.txt          the same with its family ("Boeing 707")
    <raw>/data/images_manufacturer_train.txt    ... and its manufacturer ("Boeing")

and the same for val, trainval and test; `raw` may be the folder `data` itself. The lowest 20 pixels
of each picture are a banner with its copyright, which names the photographer and not the aircraft:
pictures are taken as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedvlm_flwr.data.sources.base import (
    Item,
    read_lines,
    require,
    require_class_form,
    require_form,
)
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.settings import setting

SPLITS = ("train", "val", "trainval", "test")
LEVELS = ("manufacturer", "family", "variant")


@dataclass(frozen=True)
class Params:
    """Which pictures are taken, and what is asked of them."""

    label: str = field(metadata=setting(choices=LEVELS))
    """What is asked for: manufacturer, family or variant."""
    train_splits: list[str] = field(metadata=setting(choices=SPLITS))
    """The source's own splits (train, val, trainval, test) whose pictures are training records."""
    test_splits: list[str] = field(metadata=setting(choices=SPLITS))
    """Those that are test records."""
    question: str
    """What is asked of every image."""
    answer: str
    """{label} stands for the class."""

    def __post_init__(self) -> None:
        require_form("answer", self.answer, "label")
        require_class_form("answer", self.answer)


def read(raw: Path, params: Params) -> Iterator[Item]:
    """One question a picture; its fields are manufacturer, family and variant.

    Raises:
        DataError: a file is missing, a line of it is no picture and its class, or the files of a
            split do not name the same pictures.
    """
    folder = raw if (raw / "images").is_dir() else raw / "data"
    require(folder / "images", "the folder of FGVC-Aircraft's pictures")
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            for picture, levels in _levels(folder, name):
                yield Item(
                    id=picture,
                    split=split,
                    task="classification",
                    picture=folder / "images" / f"{picture}.jpg",
                    image=f"fgvc_aircraft/{picture}.jpg",
                    question=params.question,
                    answer=params.answer.replace("{label}", levels[params.label]),
                    fields=levels,
                )


def _levels(folder: Path, split: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each picture of a split with its manufacturer, family and variant."""
    classes = {level: _classes(folder / f"images_{level}_{split}.txt") for level in LEVELS}
    variants = classes["variant"]
    for level, named in classes.items():
        odd = sorted(named.keys() ^ variants.keys())
        if odd:
            raise DataError(
                f"The picture {odd[0]} is in only one of {folder / f'images_{level}_{split}.txt'} "
                f"and images_variant_{split}.txt; download FGVC-Aircraft again."
            )
    for picture in variants:
        yield picture, {level: classes[level][picture] for level in LEVELS}


def _classes(path: Path) -> dict[str, str]:
    classes: dict[str, str] = {}
    for i, line in enumerate(read_lines(path, "a list of pictures and their classes"), start=1):
        picture, _, name = line.strip().partition(" ")
        if not picture.isdigit() or not name:
            raise DataError(
                f"Line {i} of {path} is {line[:80]!r}, which should be a picture's number and its "
                "class; download FGVC-Aircraft again."
            )
        classes[picture] = name.strip()
    return classes
