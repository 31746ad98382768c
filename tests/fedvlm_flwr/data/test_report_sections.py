"""Invented reports in the forms of MIMIC-CXR, and what each must come to."""

import pytest

from fedvlm_flwr.data.report_sections import join_sections, report_sections, section_names

BANNER = "                                 FINAL REPORT\n"
REPORTS = {
    "conclusion": (" HISTORY:  Fall.\n \n CONCLUSION:  No fracture.\n", "No fracture."),
    "finding": (" FINDING:  Clear lungs.\n \n IMPRESSION: Normal.\n", "Clear lungs. Normal."),
    "views as findings": (
        BANNER + " CHEST, TWO VIEWS:  ___\n The heart is large.\n \n IMPRESSION:  Large heart.\n",
        "___ The heart is large. Large heart.",
    ),
    "views without text": (
        BANNER + " CHEST, PA AND LATERAL:\n \n INDICATION:  Cough.\n \n FINDINGS:  Clear.\n",
        "Clear.",
    ),
    "views below findings": (
        " FINDINGS:\n PORTABLE AP CHEST:  The tube is high.\n IMPRESSION: High tube.\n",
        "PORTABLE AP CHEST: The tube is high. High tube.",
    ),
    "a section directly below an empty one": (" COMPARISON:\n FINDINGS:  Clear.\n", "Clear."),
    "both in one": (" FINDINGS AND IMPRESSION:\n \n Small nodule.\n", "Small nodule."),
    "both in one, then one": (" FINDINGS/IMPRESSION: a\n \n IMPRESSION:  b\n", "a b"),
    "one, then both in one": (" FINDINGS: a\n \n FINDINGS/ IMPRESSION:  b\n", "a b"),
    "misspelled": (" FINDNGS:  Clear.\n \n IMPRESION:  Normal.\n", "Clear. Normal."),
    "no space after the colon": (" FINDINGS:Clear.\n IMPRESSION:Normal.\n", "Clear. Normal."),
    "no heading": (
        BANNER + " PORTABLE CHEST OF ___\n \n The lungs are\n clear.\n \n No effusion.\n",
        "The lungs are clear. No effusion.",
    ),
    "no heading and no paragraph": (BANNER + " The study was cancelled.\n", ""),
    "a text below the last heading": (
        BANNER + " REASON FOR EXAM:  Fever.\n \n Opacity at the base.\n\n See ___.\n",
        "Opacity at the base. See ___.",
    ),
    "a last heading without paragraph": (" COMPARISON:  ___.\n INDICATION:  Fever.\n", ""),
    "a name inside a sentence": (
        " FINDINGS:  Compared with the\n prior,\n findings: no change; the\n impression: stable.\n",
        "Compared with the prior, findings: no change; the impression: stable.",
    ),
    "a capital inside the text": (
        " FINDINGS:  Clear.\n Impression: of a rib.\n",
        "Clear. Impression: of a rib.",
    ),
    "headings in small letters": (
        " Findings:\n Clear.\n\n Impression:  Normal.\n",
        "Clear. Normal.",
    ),
    "empty section": (
        " FINDINGS:\n \n IMPRESSION:  No change.\n \n IMPRESSION:\n",
        "No change.",
    ),
    "all sections empty": (
        " COMPARISON:  ___\n \n Clear.\n FINDINGS:\n \n IMPRESSION:\n",
        "Clear.",
    ),
    "wet read": (
        " WET READ: ___ ___ 9:02 PM\n Edema.\n" + BANNER + " IMPRESSION:  Mild edema.\n",
        "Mild edema.",
    ),
    "addendum": (
        " ADDENDUM:  Dr. ___ was called.\n" + BANNER + " FINDINGS:  Tube.\n IMPRESSION:  High.\n",
        "Tube. High.",
    ),
    "addendum with an impression": (
        " IMPRESSION:  Normal.\n \n ADDENDUM\n IMPRESSION:  A nodule.\n",
        "A nodule.",
    ),
    "a heading twice": (
        " FINDINGS:  Frontal: clear.\n \n BONE WINDOWS:  No fracture.\n IMPRESSION: Normal.\n",
        "No fracture. Normal.",
    ),
    "what follows is no part": (
        " IMPRESSION:  Normal.\n \n RECOMMENDATION(S):  CT.\n \n NOTIFICATION:  ___.\n",
        "Normal.",
    ),
}


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_comes_to_its_sections(kind: str) -> None:
    report, text = REPORTS[kind]
    sections = report_sections(report)
    assert join_sections(sections, ["findings", "impression", "last paragraph"]) == text


def test_a_section_is_taken_by_any_of_its_names_and_in_the_order_of_the_names() -> None:
    sections = report_sections(" WETREAD: w\n FINDINGS: f\n COMPARISON FILM: c\n CONCLUSION: i\n")
    assert join_sections(sections, ["impression", "findings"]) == "i f"
    assert join_sections(sections, ["conclusion", "impression"]) == "i"
    assert join_sections(sections, ["wet read", "comparison"]) == "w c"
    assert join_sections(sections, ["last paragraph", "history"]) == ""


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("impression", "IMPRESSON, IMPRRESSION, IMORESSION, IMPRESSOIN, IMPERSSION, MPRESSION"),
        ("impression", "IMPRESSIONS, CONCLUSIONS, CONCUSION, COINCLUSION, FINAL IMPRESSION"),
        ("findings", "FINDING, FINDINS, FINDINDGS, FINDGINGS, FINDNINGS, FINIDNGS"),
        ("findings", "REFERENCE FINDINGS, PORTABLE AP CHEST, RIBS (THREE), TWO VIEWS, AP VIEW"),
        ("findings", "PA AND LAT, FRONTAL SEMI-UPRIGHT, LATERAL AND AP, SINGLE VIEW"),
        ("comparison", "COMPARISONS, COMPARISION, COMPARSION, COMPARRISON, COMPARISIONS"),
        ("comparison", "REFERENCE EXAM, COMPARISON EXAM, COMPARISON FILM"),
        ("history", "CLINICAL HISTORY, PATIENT HISTORY, CLINICAL INFORMATION, PFI"),
        ("indication", "IDICATION, REASON FOR EXAM, REASON FOR EXAMINATION, CLINICAL INDICATION"),
        ("examination", "EXAM, TYPE OF EXAMINATION"),
        ("recommendations", "RECOMMENDATION(S), RECOMMENDATION, RECOMMENDATIONS"),
        ("wet read", "WET READ, WETREAD"),
        ("compression", "COMPRESSION"),
        ("prefindings", "PREFINDINGS"),
        ("occlusion", "OCCLUSION"),
    ],
)
def test_titles_have_the_names_of_the_public_parser(name: str, titles: str) -> None:
    for title in titles.split(", "):
        assert section_names(title)[0] == name, title


def test_a_long_line_takes_no_time() -> None:
    report = "(" * 200_000 + "\n" + "A" * 200_000 + ": a\n" + "Findings" * 50_000
    assert join_sections(report_sections(report), ["findings"]) == ""
