"""The commands of docs/reports.md, in its order, on a small scale."""

import re
import shlex
from pathlib import Path

import pytest

from fedvlm_flwr.cli import main

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "reports.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
SMALL = ("experiment=smoke", "num_rounds=1", "dataset.test_pictures=4", "eval.shuffled=false")


def words(command: str) -> list[str]:
    """A command's words; a run is a small one."""
    own = shlex.split(command)[1:]
    own = [word for word in own if not word.startswith("num_rounds=")]
    own = [word.replace("seed=0,1", "seed=0").replace("iid,dirichlet", "iid") for word in own]
    return [*own, *SMALL, "train.local_steps=1"] if own[0] == "run" else own


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs(
    command: str, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world)
    assert main(words(command)) == 0
    text = capsys.readouterr().out
    assert "--format" in command or re.search(r"^(report|run folder|sweep folder): ", text, re.M)
    assert ("live page: http://127.0.0.1:" in text) == ("report.live=true" in command)
    if command.startswith("fedvlm report") and "--format" not in command:
        (place,) = re.findall(r"^report: (.*)$", text, re.M)
        assert (world / place).is_file()


def test_every_file_and_key_that_it_names_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links and [link for link in links if not (DOCS / link).exists()] == []
    keys = (DOCS / "configuration.md").read_text(encoding="utf-8")
    names = set(re.findall(r"report\.[a-z]+(?==)", PAGE)) | {"report.port"}
    assert [name for name in names if f"`{name}`" not in keys] == []
