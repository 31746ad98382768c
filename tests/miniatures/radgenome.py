"""RadGenome-ChestCT in miniature: five volumes of 24 x 20 x 8 voxels with block-shaped regions."""

import csv
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

SHAPE = (24, 20, 8)  # to the patient's right, front and top
# Where regions lie, as slices of those axes: the heart is on the left, the lung is widest low down.
REGIONS: dict[str, list[tuple[slice, slice, slice]]] = {
    "heart": [(slice(4, 10), slice(11, 16), slice(3, 6))],
    "lung": [
        (slice(2, 22), slice(4, 14), slice(1, 3)),
        (slice(3, 21), slice(5, 13), slice(3, 7)),
    ],
    "trachea and bronchie": [(slice(11, 14), slice(10, 12), slice(5, 8))],
}
# Split folder, volume, regions with a mask. The last training volume has masks but no CT.
VOLUMES = [
    ("train", "train_1_a_1", ["heart", "lung", "trachea and bronchie"]),
    ("train", "train_2_a_1", ["heart", "lung", "trachea and bronchie"]),
    ("train", "train_2_a_2", ["heart", "lung"]),
    ("train", "train_9_a_1", ["heart"]),
    ("valid", "valid_1_a_1", ["heart", "lung"]),
    ("valid", "valid_2_a_1", ["lung", "trachea and bronchie"]),
]
NOT_DOWNLOADED = "train_9_a_1"
LPS = np.diag([-0.75, -0.75, 1.5, 1.0])  # as most CT is stored
RAS = np.diag([0.75, 0.75, 1.5, 1.0])


def build(folder: Path) -> None:
    """Write `radgenome_files`, `<split>_preprocessed` and `<split>_region_mask`."""
    for number, (split, volume, regions) in enumerate(VOLUMES):
        if volume != NOT_DOWNLOADED:
            patient, scan = volume.rsplit("_", 2)[0], volume.rsplit("_", 1)[0].replace("_a", "a")
            path = folder / f"{split}_preprocessed" / patient / scan / f"{volume}.nii.gz"
            save(tissue(number), LPS if number % 2 else RAS, path)
        masks = folder / f"{split}_region_mask" / f"seg_{volume}"
        for region in regions:  # one volume's masks run the other way round than its voxels
            save(mask(region), RAS if number in (1, 2) else LPS, masks / f"{region}.nii.gz")
        save(np.zeros(SHAPE, np.uint8), LPS, masks / "thyroid.nii.gz")
    for split, name in (("train", "train"), ("valid", "validation")):
        path = folder / "radgenome_files" / f"{name}_region_report.csv"
        path.parent.mkdir(exist_ok=True)
        write_reports(path, [volume for folder_, volume, _ in VOLUMES if folder_ == split])


def tissue(number: int) -> NDArray[np.int16]:
    """Hounsfield units of air, lungs and a bright heart; no two numbers give the same."""
    values = np.full(SHAPE, -1000 + 5 * number, np.int16)
    for place in REGIONS["lung"]:
        values[place] = -800
    for place in REGIONS["heart"]:
        values[place] = 40
    for place in REGIONS["trachea and bronchie"]:
        values[place] = -1000
    values[:, :2] = 100 - 10 * number  # the couch below the back
    return values


def mask(region: str) -> NDArray[np.uint8]:
    """A region's voxels, to the right, front and top."""
    covered = np.zeros(SHAPE, np.uint8)
    for place in REGIONS[region]:
        covered[place] = 1
    return covered


def save(
    values: NDArray[np.int16] | NDArray[np.uint8], affine: NDArray[np.float64], path: Path
) -> None:
    """Write values given to the right, front and top, stored the way the affine matrix says."""
    for axis in range(3):
        if affine[axis, axis] < 0:
            values = np.flip(values, axis)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def write_reports(path: Path, volumes: list[str]) -> None:
    """A sentence on each region of each volume, some twice, some on no region or no mask."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Volumename", "Anatomy", "Sentence"])
        for volume in volumes:
            name = f"{volume}.nii.gz"
            writer.writerow([name, "", "Contrast was not given, “as requested”."])
            for region in REGIONS:
                writer.writerow([name, region, f"The {region} is normal,\nas far as it is seen."])
            writer.writerow([name, "heart", "Heart size is normal."])
            writer.writerow([name, "thyroid", "The thyroid is not in the field of view."])
            writer.writerow([name, "breast", "No breast mass is seen."])
