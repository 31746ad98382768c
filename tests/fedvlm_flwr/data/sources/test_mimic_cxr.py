import gzip
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config.typed import typed
from fedvlm_flwr.data.making import assign
from fedvlm_flwr.data.making_settings import Making, read_sources
from fedvlm_flwr.data.sources import mimic_cxr
from fedvlm_flwr.data.sources.base import Item
from fedvlm_flwr.errors import ConfigError, DataError
from tests.miniatures import mimic_cxr as miniature

VALUES: dict[str, Any] = {
    "reports": "files",
    "pictures": "files",
    "sections": ["findings", "impression", "last paragraph"],
    "question": "Write the report of this chest X-ray.",
    "train_splits": ["train", "validate"],
    "test_splits": ["test"],
    "max_studies": None,
}
SPLIT, METADATA = "mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-metadata.csv.gz"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    miniature.build(tmp_path)
    return tmp_path


def params(**changes: Any) -> mimic_cxr.Params:
    return typed(mimic_cxr.Params, {**VALUES, **changes}, "mimic_cxr")


def read(raw: Path, **changes: Any) -> list[Item]:
    return list(mimic_cxr.read(raw, params(**changes)))


def left_out(raw: Path, **changes: Any) -> dict[str, int]:
    """What `read` returns after its last item."""

    def every() -> Iterator[Item]:
        counts.update((yield from mimic_cxr.read(raw, params(**changes))))

    counts: Counter[str] = Counter()
    assert list(every()) == read(raw, **changes)
    return dict(counts)


def answer(raw: Path, report: str, sections: list[str]) -> str:
    """The answer of the only test study, for a report."""
    (raw / "files/p13/p13000001/s50600001.txt").write_text(report)
    found = read(raw, sections=sections, train_splits=[], max_studies=1)
    return found[0].answer if found[0].id == "s50600001" else "left out"


def test_an_item_is_a_study_with_its_first_frontal_picture(raw: Path) -> None:
    picture = "22aa4e08-5c5b1e2d-3f6c8a11-8a2f6d1b-030142bb.jpg"
    assert read(raw)[0] == Item(
        id="s50414267",
        split="train",
        task="report",
        picture=raw
        / "files/p10/p10000032/s50414267"
        / picture,  # PA, after a lateral and an AP one
        image=f"mimic_cxr/p10/p10000032/s50414267/{picture}",
        question="Write the report of this chest X-ray.",
        answer="The lungs of number 0 are clear. There is no pleural effusion or pneumothorax. "
        "No acute process in number 0.",
        fields={"view": "PA"},
    )


def test_studies_come_in_order_without_those_that_have_no_frontal_view_or_section(
    raw: Path,
) -> None:
    items = read(raw)
    assert [(item.id, item.split, item.fields["view"]) for item in items] == [
        ("s50414267", "train", "PA"),
        ("s53189527", "train", "PA"),
        ("s56699142", "train", "AP"),
        ("s57375967", "train", "AP"),
        # s50771383 is lateral, s54205396 has no section, s52000000 no folder, s51967845 no view
        ("s51029426", "train", "AP"),
        ("s50500001", "train", "PA"),
        ("s50600001", "test", "AP"),
        ("s50600002", "test", "PA"),
        ("s50600003", "test", "PA"),
        ("s50600004", "test", "PA"),
    ]
    assert all(isinstance(item.picture, Path) and item.picture.is_file() for item in items)
    assert items == read(raw)


def test_of_two_pictures_of_a_view_the_first_by_name_is_taken(raw: Path) -> None:
    assert read(raw)[3].image.endswith("/02aa4e08-5c5b1e2d-3f6c8a11-8a2f6d1b-036b7cdf.jpg")


def test_reports_keep_underscores_and_lose_line_breaks(raw: Path) -> None:
    answers = {item.id: item.answer for item in read(raw)}
    assert answers["s56699142"] == (
        "AP chest compared to ___: Tube 2 ends 4 cm above the carina ± 1 cm, unchanged."
    )
    assert answers["s57375967"] == "Heart size 3 is normal."  # FINDINGS AND IMPRESSION, once


@pytest.mark.parametrize(
    ("report", "sections", "said"),
    [
        ("FINDINGS: a\n IMPRESSION: b", ["findings", "impression"], "a b"),
        ("FINDINGS: a\n IMPRESSION: b", ["impression", "findings"], "b a"),
        ("FINDINGS: a\n IMPRESSION: b", ["impression"], "b"),
        ("Findings:\n a\n\n  Impression : b", ["findings", "impression"], "a b"),
        (" FINDINGS: Impression of a device: none.\n", ["impression"], "left out"),
        ("FINDINGS: a\n RECOMMENDATION(S):  see ___\n", ["findings"], "a"),
        ("IMPRESSION: old\n ADDENDUM: x\n IMPRESSION: new\n", ["impression"], "new"),
        ("IMPRESSION: old\n IMPRESSION: \n", ["impression"], "old"),
        ("WET READ: a\n FINAL REPORT\n", ["wet read"], "a FINAL REPORT"),
        ("FINDINGS/IMPRESSION: a\n", ["findings", "impression"], "a"),
        ("CONCLUSION: a\n", ["impression"], "a"),
        ("CHEST, TWO VIEWS: a\n", ["findings"], "a"),
        ("FINDINGS: Prior\n findings: none.\n", ["findings"], "Prior findings: none."),
        ("FINAL REPORT\n \n a\n \n b\n", ["findings", "last paragraph"], "a b"),
        ("COMPARISON: FINDINGS: a\n", ["findings"], "left out"),
        ("PREFINDINGS: a\n", ["findings"], "left out"),
        ("FINDINGS: \n\n", ["findings"], "left out"),
        ("", ["findings"], "left out"),
        ("A" * 100_000 + ": a", ["findings"], "left out"),
    ],
)
def test_sections_are_found(raw: Path, report: str, sections: list[str], said: str) -> None:
    assert answer(raw, report, sections) == said


def test_what_is_left_out_is_counted_by_reason(raw: Path) -> None:
    none = "no findings or impression or last paragraph in the report"
    reasons = {"no frontal picture": 2, none: 1, "no folder of pictures": 1}
    assert left_out(raw) == reasons
    (raw / "files/p13/p13000001/s50600001.txt").unlink()
    assert left_out(raw) == reasons | {"no report file": 1}
    assert left_out(raw, max_studies=2, train_splits=["validate"]) == {"no report file": 1}
    assert left_out(raw, sections=["wet read"])["no wet read in the report"] == 8


def test_what_is_left_out_is_told_when_the_dataset_is_made(raw: Path) -> None:
    source = {"folder": ".", "limit": {}, "reading": VALUES}
    sources = read_sources({"mimic_cxr": source}, "sources")
    lines: list[str] = []
    assign(raw, Making(sources, "task", None, 0, {}), lines.append)
    assert lines == [
        f"mimic_cxr: 10 questions in {raw}, 10 taken",
        "mimic_cxr: 4 records of the source left out (no frontal picture: 2; no findings or "
        "impression or last paragraph in the report: 1; no folder of pictures: 1)",
    ]


def test_a_missing_picture_is_left_to_the_check(raw: Path) -> None:
    picture = read(raw)[7].picture
    assert isinstance(picture, Path)
    picture.unlink()
    assert read(raw)[7].picture == picture


@pytest.mark.parametrize("key", ["reports", "pictures"])
def test_a_folder_that_is_not_there_is_an_error(raw: Path, key: str) -> None:
    with pytest.raises(DataError, match=rf"There is no {raw}/elsewhere, which should be the fol"):
        read(raw, **{key: "elsewhere"})


@pytest.mark.parametrize(
    ("study", "report", "said"),
    [
        ("s51491012", " HISTORY: a\n FINDINGS: b\n HISTORY: c\n TECHNIQUE: d\n", "c"),
        ("s51410602", f"{'.' * 47}{'x' * 273} FINDINGS: b\n", "x" * 273),
        ("s58235663", " FINDINGS: b\n", None),
        ("s51491013", " HISTORY: a\n FINDINGS: b\n", "b"),
    ],
)
def test_of_listed_studies_the_place_is_known(
    raw: Path, study: str, report: str, said: str | None
) -> None:
    """Their authors found by hand where in these reports it is told what is seen."""
    with gzip.open(raw / SPLIT, "at") as table:
        table.write(f"a,{study[1:]},19000001,test\n")
    with gzip.open(raw / METADATA, "at") as table:
        table.write(f"a,19000001,{study[1:]},,PA,1,1\n")
    (raw / f"files/p19/p19000001/{study}").mkdir(parents=True)
    (raw / f"files/p19/p19000001/{study}.txt").write_text(report)
    assert {item.id: item.answer for item in read(raw)}.get(study) == said


def test_without_metadata_the_first_picture_counts_and_there_is_no_view(raw: Path) -> None:
    (raw / METADATA).unlink()
    items = read(raw)
    assert {item.id for item in items} >= {"s50771383", "s51967845"}
    assert items[0].image.endswith("/02aa4e08-5c5b1e2d-3f6c8a11-8a2f6d1b-030142bb.jpg")
    assert all(item.fields == {} for item in items)


def test_plain_tables_and_separate_folders_are_read_too(raw: Path) -> None:
    items = read(raw)
    for name in (SPLIT, METADATA):
        (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress((raw / name).read_bytes()))
        (raw / name).unlink()
    assert read(raw) == items
    shutil.copytree(raw / "files", raw / "texts" / "files")
    for path in (raw / "files").rglob("*.txt"):
        path.unlink()
    assert read(raw, reports="texts/files") == items


def test_the_first_studies_of_each_split_can_be_taken(raw: Path) -> None:
    items = read(raw, max_studies=2)
    assert [item.id for item in items] == [
        "s50414267",
        "s53189527",
        "s50500001",
        "s50600001",
        "s50600002",
    ]
    every = read(raw, train_splits=["train"], max_studies=100)
    assert Counter(item.split for item in every) == {"train": 5, "test": 4}


def test_malformed_tables_are_errors(raw: Path) -> None:
    with pytest.raises(DataError, match=r"no study of the split 'valid'.*test, train, validate"):
        read(raw, train_splits=["valid"])
    for data, why in (
        (gzip.compress(b"dicom_id,study_id,subject_id\n"), "has no column 'split'"),
        (b"dicom_id", f"{SPLIT} cannot be read"),
    ):
        (raw / SPLIT).write_bytes(data)
        with pytest.raises(DataError, match=why):
            read(raw)
    (raw / SPLIT).unlink()
    with pytest.raises(DataError, match=r"There is no .*mimic-cxr-2\.0\.0-split\.csv, which"):
        read(raw)


def test_malformed_metadata_and_reports_are_errors(raw: Path) -> None:
    report = raw / "files/p13/p13000001/s50600001.txt"
    report.write_bytes(b"FINDINGS: \xff")
    with pytest.raises(DataError, match=f"{report} is no text"):
        read(raw)
    (raw / METADATA).write_bytes(gzip.compress(b"dicom_id\n"))
    with pytest.raises(DataError, match="has no column 'ViewPosition'"):
        read(raw)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"question": " "}, "question of the source mimic_cxr is empty"),
        ({"sections": []}, r"sections=\[\].*must name sections"),
        ({"sections": ["FINDINGS:"]}, "must name sections of a report in small letters"),
        ({"max_studies": 0}, "max_studies=0 must be in"),
    ],
)
def test_values_that_cannot_be_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        params(**changes)
