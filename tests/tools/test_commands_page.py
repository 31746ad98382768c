"""docs/commands.md is what the commands say of themselves."""

from pathlib import Path

import pytest

from fedvlm_flwr.cli import main
from tools.commands_page import HEAD, page, sections

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_is_what_the_commands_say() -> None:
    """Of what stands there; a command that is added needs no line in it."""
    now = dict(sections())
    head, *parts = PAGE.read_text(encoding="utf-8").split("\n## ")
    assert head.strip() == HEAD.strip() and parts
    for part in parts:
        title, _, text = part.partition("\n\n")
        assert text.strip() == now[title].strip(), f"{title}: write {PAGE.name} anew"


@pytest.mark.parametrize("words", [["report"], ["site", "audit"], ["doctor", "server"]])
def test_a_section_is_the_command_s_help(words: list[str], capsys) -> None:
    assert main([*words, "--help"]) == 0
    summary, _, rest = capsys.readouterr().out.partition("\n")
    text = dict(sections())[" ".join(["fedvlm", *words])]
    assert summary in text and rest.strip() in text
    assert f"## fedvlm {' '.join(words)}\n\n{text}" in page()
