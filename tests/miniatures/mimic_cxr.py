"""MIMIC-CXR in miniature: fourteen invented studies of seven subjects, with packed tables."""

import csv
import gzip
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

FINDINGS = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old with cough.  // pneumonia?

 COMPARISON:  Radiograph of ___.

 FINDINGS:

 The lungs of number {n} are clear.  There is no
 pleural effusion or pneumothorax.

 IMPRESSION:

 No acute process in number {n}.
"""
IMPRESSION = """ WET READ: ___ ___ ___ 9:02 PM
 Nothing new.

 IMPRESSION:  AP chest compared to ___:
 Tube {n} ends 4 cm above the carina ± 1 cm, unchanged.
"""
BOTH = """ FINDINGS AND IMPRESSION:
 Heart size {n} is normal.
 NOTIFICATION:   Dr. ___ was told.
"""
NEITHER = """ EXAMINATION:  Chest of number {n}.
 Comparison is made with the prior study, ___.
"""
# split, subject, study, views of its pictures in the order of their names, report
STUDIES: list[tuple[str, int, int, list[str], str]] = [
    ("train", 10000032, 50414267, ["LATERAL", "AP", "PA"], FINDINGS),
    ("train", 10000032, 53189527, ["PA", "LATERAL"], FINDINGS),
    ("train", 10000032, 56699142, ["AP"], IMPRESSION),
    ("train", 10000764, 57375967, ["AP", "AP"], BOTH),
    ("train", 10000898, 50771383, ["LATERAL"], FINDINGS),
    ("train", 10000898, 54205396, ["PA", "PA"], NEITHER),
    ("train", 11000011, 51029426, ["AP"], IMPRESSION),
    ("train", 11000011, 52000000, ["PA"], FINDINGS),
    ("train", 11000183, 51967845, [""], FINDINGS),
    ("validate", 12000001, 50500001, ["PA", "LATERAL"], FINDINGS),
    ("test", 13000001, 50600001, ["AP"], IMPRESSION),
    ("test", 13000001, 50600002, ["PA"], FINDINGS),
    ("test", 13000002, 50600003, ["LATERAL", "PA"], BOTH),
    ("test", 13000002, 50600004, ["AP", "PA"], FINDINGS),
]
NOT_DOWNLOADED = 52000000


def dicom(study: int, place: int) -> str:
    """The name of a study's picture."""
    return f"{place}2aa4e08-5c5b1e2d-3f6c8a11-8a2f6d1b-{study:08x}"


def build(folder: Path) -> None:
    """Write `mimic-cxr-2.0.0-split.csv.gz`, `-metadata.csv.gz` and `files/p10/p10000032/...`."""
    splits, metadata = [], []
    for number, (split, subject, study, views, report) in enumerate(STUDIES):
        subjects = folder / "files" / f"p{subject // 10**6}" / f"p{subject}"
        pictures = subjects / f"s{study}"
        subjects.mkdir(parents=True, exist_ok=True)
        (subjects / f"s{study}.txt").write_text(report.format(n=number), encoding="utf-8")
        for place, view in enumerate(views):
            name = dicom(study, place)
            splits.append([name, study, subject, split])
            metadata.append([name, subject, study, "CHEST (PA AND LAT)", view, 32, 28])
            if study != NOT_DOWNLOADED:
                pictures.mkdir(exist_ok=True)
                Image.new("L", (28, 32), 15 * number + place).save(pictures / f"{name}.jpg")
    write_table(folder / "mimic-cxr-2.0.0-split.csv.gz", SPLIT_COLUMNS, splits)
    write_table(folder / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA_COLUMNS, metadata)


SPLIT_COLUMNS = ["dicom_id", "study_id", "subject_id", "split"]
METADATA_COLUMNS = [
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
]


def write_table(path: Path, columns: list[str], rows: Iterable[list[str | int]]) -> None:
    """A packed CSV table."""
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
