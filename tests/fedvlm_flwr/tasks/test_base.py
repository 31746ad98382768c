"""Normalised answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvlm_flwr.tasks import classification, vqa
from fedvlm_flwr.tasks.base import normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  The Lung.\n", "lung"),
        ("Yes!", "yes"),
        ("a  blue\trectangle", "blue rectangle"),
        ("'Twelve'", "12"),
        ("two lungs", "2 lungs"),
        ("Zero", "0"),
        ("nineteen of Twenty, or ninety", "19 of 20 or 90"),
        ("A.", "a"),  # a choice, no article
        ("vitamin A", "vitamin a"),
        ("the", "the"),
        ("the left and the right lung", "left and right lung"),
        ("lung, left; upper: (lobe)", "lung left upper lobe"),
        ('the "left" **lung**', "left lung"),
        ("the patient\u2019s heart", "patient's heart"),
        ("-5", "-5"),
        ("\u22125", "-5"),  # a minus sign
        (".5", ".5"),
        ("-.5", "-.5"),
        ("3.5 cm.", "3.5 cm"),
        ("at 10:30", "at 10:30"),
        ("1,000,000", "1000000"),
        ("1,2", "1 2"),
        ("50%", "50%"),
        ("x-ray", "x-ray"),
        ("Boeing 737-800", "boeing 737-800"),
        ("737\u2013800", "737-800"),  # an en dash
        ("left - upper\u2014lung", "left upper lung"),
        ("A/B", "a/b"),
        ("<1", "<1"),
        ("U.S.", "u.s"),
        ("(b)", "b"),
        ("\uff21\uff22", "ab"),  # full-width letters
        ("...", ""),
        ("", ""),
    ],
)
def test_normalize(text: str, expected: str) -> None:
    assert normalize(text) == expected
    assert normalize(expected) == expected


@given(st.text() | st.text(alphabet="aA the.,:'-05\u0130\u0345\u0308\u1e9e\uff0e is"))
def test_what_is_parsed_once_stays(text: str) -> None:
    for parse in (normalize, vqa.parse, classification.parse):
        assert parse(parse(text)) == parse(text)
