"""MIMIC-CXR: chest radiographs and their reports (Johnson et al., 2019, s41597-019-0322-0).

    <raw>/mimic-cxr-2.0.0-split.csv[.gz]       dicom_id, study_id, subject_id, split
    <raw>/mimic-cxr-2.0.0-metadata.csv[.gz]    dicom_id, ViewPosition, ...; may be missing
    <raw>/files/p10/p10000032/s50414267.txt
    <raw>/files/p10/p10000032/s50414267/<dicom_id>.jpg

The tables and pictures are those of MIMIC-CXR-JPG, the reports those of MIMIC-CXR. A study gives
one question, about its first frontal picture, PA before AP and then by name; without the metadata,
about its first picture. Left out, and counted, are studies without a frontal picture, without a
folder of pictures (most people download a part), without a report, and those whose report has none
of the wanted sections.
"""

import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from fedvlm_flwr.data.report_exceptions import with_exceptions
from fedvlm_flwr.data.report_sections import join_sections, report_sections
from fedvlm_flwr.data.sources.base import Item, read_csv, read_lines, require
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.settings import setting

SPLITS = "mimic-cxr-2.0.0-split.csv"
METADATA = "mimic-cxr-2.0.0-metadata.csv"
FRONTAL = ("PA", "AP")


@dataclass(frozen=True)
class Params:
    """Which studies are taken, and what of their reports."""

    reports: str
    """The folder of p10, p11, ... with the reports, relative to the source's folder."""
    pictures: str
    """The folder of p10, p11, ... with the images; it may be the same."""
    sections: list[str]
    """The report's sections that make the answer, in this order (findings, impression; "last
    paragraph": what a report without those two says)."""
    question: str
    """What is asked."""
    train_splits: list[str]
    """MIMIC-CXR's own splits (train, validate, test) whose studies are training records."""
    test_splits: list[str]
    """Those that are test records."""
    max_studies: int | None = field(metadata=setting(least=1, most=10**9))
    """Studies at most of each of the splits, the first by subject and study; null: all."""

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ConfigError("question of the source mimic_cxr is empty; write what is asked.")
        if not self.sections or not all(re.fullmatch("[a-z]+( [a-z]+)*", s) for s in self.sections):
            raise ConfigError(
                f"sections={self.sections} of the source mimic_cxr must name sections of a report "
                "in small letters, such as findings."
            )


@dataclass(frozen=True, order=True, slots=True)
class _Study:
    subject: str
    name: str

    @property
    def folder(self) -> str:
        """Below the folder of reports or pictures."""
        return f"p{self.subject[:2]}/p{self.subject}/s{self.name}"


def read(raw: Path, params: Params) -> Generator[Item, None, Counter[str]]:
    """The studies, by subject and study; returns how many were left out, by reason.

    Raises:
        DataError: a table or folder is missing, a table lacks a column, there is no study of a
            split, or a report is no text.
    """
    splits = _studies(raw)
    views = _views(raw)
    require(raw / params.reports, "the folder of MIMIC-CXR's reports")
    require(raw / params.pictures, "the folder of MIMIC-CXR-JPG's pictures")
    left_out: Counter[str] = Counter()
    for split, names in (("train", params.train_splits), ("test", params.test_splits)):
        for name in names:
            if name not in splits:
                raise DataError(
                    f"{SPLITS} in {raw} has no study of the split '{name}' (its splits: "
                    f"{', '.join(sorted(splits))}); change train_splits and test_splits."
                )
            items = _items(raw, split, splits[name], views, params, left_out)
            yield from islice(items, params.max_studies)
    return left_out


def _items(
    raw: Path,
    split: str,
    studies: dict[_Study, list[str]],
    views: dict[str, str] | None,
    params: Params,
    left_out: Counter[str],
) -> Iterator[Item]:
    for study in sorted(studies):
        picture = _frontal(studies[study], views)
        folder = raw / params.pictures / study.folder
        report = raw / params.reports / f"{study.folder}.txt"
        if picture is None:
            left_out["no frontal picture"] += 1
        elif not folder.is_dir():
            left_out["no folder of pictures"] += 1
        elif not report.exists():
            left_out["no report file"] += 1
        elif not (answer := _answer(report, study, params.sections)):
            left_out[f"no {' or '.join(params.sections)} in the report"] += 1
        else:
            yield Item(
                id=f"s{study.name}",
                split=split,
                task="report",
                picture=folder / f"{picture}.jpg",
                image=f"mimic_cxr/{study.folder}/{picture}.jpg",
                question=params.question.strip(),
                answer=answer,
                fields={} if views is None else {"view": views[picture]},
            )


def _table(raw: Path, name: str) -> Path:
    packed = raw / f"{name}.gz"
    return packed if packed.exists() else raw / name


def _studies(raw: Path) -> dict[str, dict[_Study, list[str]]]:
    """The pictures of each study, by split."""
    columns = ["dicom_id", "study_id", "subject_id", "split"]
    studies: dict[str, dict[_Study, list[str]]] = {}
    for row in read_csv(_table(raw, SPLITS), columns, "the splits of MIMIC-CXR-JPG"):
        study = _Study(row["subject_id"], row["study_id"])
        studies.setdefault(row["split"], {}).setdefault(study, []).append(row["dicom_id"])
    return studies


def _views(raw: Path) -> dict[str, str] | None:
    """The frontal pictures' views; None where there is no metadata."""
    path = _table(raw, METADATA)
    if not path.exists():
        return None
    rows = read_csv(path, ["dicom_id", "ViewPosition"], "the metadata of MIMIC-CXR-JPG")
    return {row["dicom_id"]: row["ViewPosition"] for row in rows if row["ViewPosition"] in FRONTAL}


def _frontal(pictures: list[str], views: dict[str, str] | None) -> str | None:
    if views is None:
        return min(pictures)
    frontal = [name for name in pictures if name in views]
    return min(frontal, key=lambda name: (FRONTAL.index(views[name]), name), default=None)


def _answer(path: Path, study: _Study, names: Sequence[str]) -> str:
    report = "\n".join(read_lines(path, "a report of MIMIC-CXR"))
    return join_sections(with_exceptions(study.name, report, report_sections(report)), names)
