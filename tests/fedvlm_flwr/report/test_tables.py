"""Tables in each form that they are written in."""

import csv as reader
from io import StringIO

import pytest

from fedvlm_flwr.contracts import TableForm
from fedvlm_flwr.plugins import available, load_as
from fedvlm_flwr.report.tables import csv, latex, markdown
from fedvlm_flwr.report.tables.base import Cell, Heading, Line, Table, score_cell, text_cell

HOSTILE = "a|b & c_d % {x} $y$ #1 ~ ^ \\end <script>"
TABLE = Table(
    "scores",
    "Scores",
    ["", "vqa\naccuracy", "vqa\naccuracy"],
    [
        Line([text_cell("before"), score_cell([0.5]), Cell("-")], baseline=True),
        Line([text_cell(HOSTILE), score_cell([0.1, 0.3], bold=True), score_cell([])]),
        Line([text_cell("central"), score_cell([0.9]), score_cell([0.8])], baseline=True),
    ],
    "Mean ± deviation.",
    [Heading(""), Heading("iid"), Heading("dirichlet")],
    warnings=["Unequal budgets: 5 % & more."],
)


def test_a_score_is_its_mean_and_deviation() -> None:
    """0.1 and 0.3: mean 0.2, deviation sqrt(0.02)."""
    cell = score_cell([0.1, 0.3], mark="~")
    assert cell.text == "~0.200 ± 0.141" and cell.numbers == pytest.approx((0.2, 0.02**0.5))
    assert score_cell([12345.6], digits=1).text == "12,345.6"
    assert score_cell([]).numbers == ()


def test_csv_has_whole_numbers_and_a_column_for_each() -> None:
    head, before, hostile, central = reader.reader(StringIO(csv.write(TABLE)))
    assert head == ["", "iid: vqa accuracy mean", "iid: vqa accuracy sd", "dirichlet: vqa accuracy"]
    assert hostile[0] == HOSTILE
    assert [float(x) for x in hostile[1:3]] == pytest.approx([0.2, 0.02**0.5])
    assert before[1:3] == ["0.5", ""] and central[3] == "0.8"


def test_markdown_has_equal_columns_and_takes_text_for_text() -> None:
    rows = [row for row in markdown.write(TABLE).splitlines() if row[:1] == "|"]
    assert len(rows) == 5
    assert len({row.replace(r"\|", "").count("|") for row in rows}) == 1
    assert "**0.200 ± 0.141**" in rows[3] and "<script>" not in rows[3].replace(r"\<", "")


def test_latex_has_booktabs_rules_and_no_command_of_a_text() -> None:
    text = latex.write(TABLE)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule(lr){2-2}"):
        assert rule in text
    assert r"\textbf{0.200 $\pm$ 0.141}" in text
    assert r"a\textbar{}b \& c\_d \% \{x\} \$y\$ \#1" in text
    assert r"\textbackslash{}end" in text and "\\end <" not in text
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    body = [row for row in text.splitlines() if row.endswith(r"\\")]
    assert {row.replace(r"\&", "").count("&") for row in body} == {2}
    assert text.count(r"\midrule") == 2  # below the headings, and above the baseline at the end


@pytest.mark.parametrize("name", available("fedvlm_flwr.report.tables"))
def test_every_form_writes_a_table_of_nothing(name: str) -> None:
    form = load_as(TableForm, "fedvlm_flwr.report.tables", name, "form of tables")
    assert form.ENDING.startswith(".")
    assert "Empty" in form.write(Table("empty", "Empty", ["Empty"], []))
