"""RadGenome-ChestCT: regions in chest CT volumes (Zhang et al., 2024, arXiv 2404.16754).

    <raw>/radgenome_files/train_region_report.csv     columns Volumename, Anatomy, Sentence, ...
    <raw>/train_preprocessed/train_1/train_1a/train_1_a_1.nii.gz
    <raw>/train_region_mask/seg_train_1_a_1/heart.nii.gz

and the same for the validation split, under other names: the YAML holds all of them (`trees`,
`mask_file`). A volume is looked for by its name anywhere below its folder.

Each region that the CSV names for a volume, and that has a mask, gives one question: where is it,
on the axial slice that it covers most of (the lowest such slice)? A region without a mask file or
with an empty mask asks nothing, nor does a volume that has not been downloaded.

Mask and volume are each brought to the axes right, anterior, superior by their own affine matrix,
and the slice is drawn as radiologists look at it: anterior up, the patient's left on the right.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fedvlm_flwr.data.axial import mask_of, png_of_slice, shape_of
from fedvlm_flwr.data.sources.base import Item, read_csv, require, require_form
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.boxes import Box, LabeledBox, format_boxes
from fedvlm_flwr.settings import setting

ENDING = ".nii.gz"


@dataclass(frozen=True)
class Tree:
    """Where one split lies, relative to the source's folder."""

    reports: str
    """The CSV file that names volumes and regions."""
    volumes: str
    """The folder of the volumes."""
    masks: str
    """The folder of the masks."""


@dataclass(frozen=True)
class Params:
    """Which volumes are taken, how a slice is drawn, and what is asked."""

    trees: dict[str, Tree]
    """The source's own splits."""
    train_splits: list[str]
    """Those whose regions are training records."""
    test_splits: list[str]
    """Those that are test records."""
    mask_file: str
    """A mask's place below its folder; {volume} and {region} stand for the names."""
    max_volumes: int | None = field(metadata=setting(least=1, most=10**9))
    """Volumes at most of each of the splits, the first by name; null: all."""
    window_center: float = field(metadata=setting(least=-1e5, most=1e5))
    """Hounsfield units drawn as middle grey."""
    window_width: float = field(metadata=setting(least=1e-3, most=1e5))
    """Hounsfield units from black to white."""
    question: str
    """{region} stands for the region's name."""
    answer: str
    """{box} stands for the box, {region} (if it is there) for the region's name."""
    labelled: bool
    """Whether the box is written with its name: {'heart': [0.31, 0.20, 0.45, 0.45]}."""

    def __post_init__(self) -> None:
        for name in ("volume", "region"):
            require_form("mask_file", self.mask_file, name)
        require_form("question", self.question, "region")
        require_form("answer", self.answer, "box")
        for key in ("train_splits", "test_splits"):
            for name in getattr(self, key):
                if name not in self.trees:
                    raise ConfigError(
                        f"{key} of the source radgenome names '{name[:80]}'; choose of "
                        f"{', '.join(self.trees)}, or add it to trees."
                    )


def read(raw: Path, params: Params) -> Iterator[Item]:
    """The regions of the volumes, by name of the volume and then as the CSV names them.

    Masks are read here, volumes when a picture is made.

    Raises:
        ConfigError: nibabel is not installed.
        DataError: a file or column is missing, a volume or mask cannot be read or is not three-
            dimensional, the two differ in shape, or a volume's name stands for two files.
    """
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            yield from _split_items(raw, split, params.trees[name], params)


def _split_items(raw: Path, split: str, tree: Tree, params: Params) -> Iterator[Item]:
    regions = _regions(raw / tree.reports)
    volumes = _volumes(raw / tree.volumes)
    masks = require(raw / tree.masks, "the folder of RadGenome-ChestCT's masks")
    used = 0
    for volume in sorted(regions.keys() & volumes.keys()):
        files = {
            region: masks / _filled(params.mask_file, volume=volume, region=region)
            for region in regions[volume]
        }
        there = {region: path for region, path in files.items() if path.is_file()}
        if there and used == params.max_volumes:
            return
        used += bool(there)
        for region, path in there.items():
            largest = _largest(path, volumes[volume])
            if largest is not None:
                yield _item(split, volumes[volume], region, largest, params)


def _item(split: str, path: Path, region: str, largest: tuple[int, Box], params: Params) -> Item:
    volume = path.name.removesuffix(ENDING)
    level, box = largest
    text = format_boxes([LabeledBox(box, region if params.labelled else None)], None)
    low = params.window_center - params.window_width / 2
    return Item(
        id=f"{volume}-{region}",
        split=split,
        task="detection",
        picture=partial(png_of_slice, path, level, low, low + params.window_width),
        image=f"radgenome/{volume}_{level}.png",
        question=_filled(params.question, region=region),
        answer=_filled(params.answer, region=region, box=text),
        fields={"region": region},
    )


def _regions(path: Path) -> dict[str, list[str]]:
    """The regions that the CSV names for each volume; a sentence about none names no region."""
    regions: dict[str, dict[str, None]] = {}
    for row in read_csv(path, ["Volumename", "Anatomy"], "RadGenome-ChestCT's region reports"):
        volume, region = row["Volumename"].strip().removesuffix(ENDING), row["Anatomy"].strip()
        if region:
            regions.setdefault(volume, {})[region] = None
    return {volume: list(own) for volume, own in regions.items()}


def _volumes(folder: Path) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for path in sorted(require(folder, "the folder of RadGenome-ChestCT's volumes").rglob("*")):
        if not path.name.endswith(ENDING):
            continue
        name = path.name.removesuffix(ENDING)
        if name in paths:
            raise DataError(f"{paths[name]} and {path} have the same name; remove one of them.")
        paths[name] = path
    return paths


def _largest(mask: Path, volume: Path) -> tuple[int, Box] | None:
    """The axial slice on which a mask covers most, and the mask's bounding box on it."""
    covered = mask_of(mask)
    shape = shape_of(volume)
    if covered.shape != shape:
        raise DataError(
            f"The mask {mask} has the shape {covered.shape} and its volume {volume} {shape}; "
            "download both again."
        )
    areas = covered.sum(axis=(1, 2))
    level = int(areas.argmax())
    if not areas[level]:
        return None
    rows, columns = (covered[level].any(axis=axis).nonzero()[0] for axis in (1, 0))
    height, width = covered.shape[1:]
    top, left = int(rows[0]), int(columns[0])
    size = (int(columns[-1]) + 1 - left) / width, (int(rows[-1]) + 1 - top) / height
    return level, (left / width, top / height, *size)


def _filled(form: str, **values: str) -> str:
    for name, value in values.items():
        form = form.replace(f"{{{name}}}", value)
    return form
