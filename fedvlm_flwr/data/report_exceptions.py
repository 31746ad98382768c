"""The MIMIC-CXR studies whose reports are not what their headings say.

Which studies these are, and where in the report it is told what the pictures show, was found by
hand by the authors of the MIMIC-CXR code repository (MIT-LCP, txt/section_parser.py).
"""

from fedvlm_flwr.data.report_sections import LAST_PARAGRAPH, MAIN, Section

# The section that it stands in, by study.
SECTIONS = {
    study: name
    for name, studies in {
        "examination": "50743547 53356173 55157853 59215320 59363654",
        "history": "51491012",
        "indication": "50058765 51966317 54365831 54654948 55124749 57936451",
        "note": "56451190",
        "recommendations": "50913680 56482935 58157373 58375018 59067458 59087630 59768032",
        "technique": "50808053 53202765 59279892",
    }.items()
    for study in studies.split()
}
# Its first character and the one after its last, by study; in the last eight it is nowhere.
PLACES = {
    "50196495": (59, 399),
    "50525523": (201, 349),
    "51410602": (47, 320),
    "52119491": (179, 454),
    "52648681": (292, 631),
    "52674888": (145, 296),
    "53182247": (59, 412),
    "53488209": (149, 475),
    "53514462": (73, 377),
    "54875119": (234, 988),
    "54986978": (59, 306),
    "55258338": (192, 568),
    "56412866": (522, 822),
    "56579911": (59, 218),
    "56760320": (219, 457),
    "57150433": (61, 394),
    "57564132": (233, 554),
    "59003148": (262, 505),
    "59330497": (140, 655),
    "59505494": (59, 450),
    "59562049": (158, 348),
    "59889364": (172, 453),
    "59982525": (313, 717),
    "50798377": (0, 0),
    "52035334": (0, 0),
    "53071062": (0, 0),
    "53607029": (0, 0),
    "54168089": (0, 0),
    "54231141": (0, 0),
    "56724958": (0, 0),
    "58235663": (0, 0),
}


def with_exceptions(study: str, report: str, sections: list[Section]) -> list[Section]:
    """The sections of a study's report; of one listed here, its last paragraph is the place.

    Args:
        study: its number.
        report: the whole text.
        sections: what its headings say.
    """
    if study in PLACES:
        text = report[slice(*PLACES[study])]
    elif study in SECTIONS:
        text = next((s.text for s in reversed(sections) if s.names[0] == SECTIONS[study]), "")
    else:
        return sections
    others = [s for s in sections if not {*MAIN, LAST_PARAGRAPH}.intersection(s.names)]
    return [*others, Section((LAST_PARAGRAPH,), text)]
