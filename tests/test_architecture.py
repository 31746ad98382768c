"""docs/architecture.md tells of what there is."""

import re
from pathlib import Path

import pytest

from fedvlm_flwr.messages import (
    FailureCode,
    ScoresRequest,
    SiteReply,
    TrainMetrics,
    TrainRequest,
    names,
)
from fedvlm_flwr.messages.fields import declared_fields

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]
ROWS = [row for row in TABLE if len(row) == 7 and row[1].startswith("`")]
RECORDS = {value for name, value in vars(names).items() if name.isupper()}


@pytest.mark.parametrize(
    ("message", "record", "kind"),
    [
        ("train request", names.REQUEST, TrainRequest),
        ("scores request", names.REQUEST, ScoresRequest),
        ("train reply", names.METRICS, TrainMetrics),
        ("site reply", names.SITE, SiteReply),
    ],
)
def test_every_field_that_travels_is_in_the_table(message, record, kind):
    rows = {
        row[2].strip("`"): row[4]
        for row in ROWS
        if row[0] == f"| {message}" and row[1] == f"`{record}`"
    }
    assert rows == {item.name: item.metadata["unit"] for item in declared_fields(kind)}


def test_every_record_and_failure_code_is_there():
    assert {row[1].strip("`") for row in ROWS} == RECORDS
    (codes,) = [row[4] for row in ROWS if row[2] == "`code`"]
    assert codes == "one of " + ", ".join(FailureCode)


def test_no_record_name_is_written_anywhere_else():
    """Each stands once, in `messages/names.py`: as the key of a message's content."""
    quoted = "|".join(RECORDS)
    use = re.compile(rf"""(?:content|reply|message)\w*(?:\.content)?\[["'](?:{quoted})["']\]""")
    files = [
        p
        for package in ("fedvlm_flwr", "strategies", "client_app", "server_app")
        for p in (ROOT / package).rglob("*.py")
    ]
    assert [str(p) for p in files if use.search(p.read_text(encoding="utf-8"))] == []


def test_every_file_that_it_names_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert links and [link for link in links if not (ROOT / "docs" / link).exists()] == []
    rooms = re.findall(r"^ {4,8}([a-z_]+)/ ", TEXT, re.MULTILINE)
    places = [ROOT, ROOT / "fedvlm_flwr", ROOT / "strategies"]
    assert [room for room in rooms if not any((place / room).is_dir() for place in places)] == []


def test_no_room_is_forgotten():
    rooms = {p.name for p in (ROOT / "fedvlm_flwr").iterdir() if (p / "__init__.py").is_file()}
    assert [room for room in sorted(rooms) if f" {room}/ " not in TEXT] == []
