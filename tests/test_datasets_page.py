"""The forms that docs/datasets.md shows are read as it says."""

import re
from pathlib import Path

import pytest

from fedvlm_flwr.data.load import examine_data
from tests import choices
from tests.fedvlm_flwr.data.test_folder import params
from tests.layout import picture

PAGE = (Path(__file__).parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")
OWN = PAGE.split("## Your own data")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```(json|text)\n(.*?)```", OWN, flags=re.DOTALL)
TABLES = [block for form, block in BLOCKS if form == "json" or "," in block]


def test_the_page_shows_tables() -> None:
    assert len(TABLES) >= 4


@pytest.mark.parametrize("block", TABLES)
def test_a_table_of_the_page_is_read(block: str, tmp_path: Path) -> None:
    ending = ".json" if block.startswith("[") else ".jsonl" if block.startswith("{") else ".csv"
    (tmp_path / f"data{ending}").write_text(block, encoding="utf-8")
    names = sorted(set(re.findall(r"[\w/]+\.png", block)))
    for i, name in enumerate(names):
        picture(tmp_path / name, (i, 0, 0))
    questions = max(1, block.count('"human"'), block.count('"user"'))
    report = examine_data(choices.dataset("folder", params(tmp_path, task="vqa", turns="all")))
    assert (report.records, report.bad) == (len(names) * questions, 0), report.problems
