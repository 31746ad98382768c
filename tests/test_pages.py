"""Every command on every page is run by a test, composed by one, or says what it needs."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fedvlm_flwr.cli import PACKAGE, from_home
from fedvlm_flwr.config import compose
from fedvlm_flwr.plugins import available
from tests.test_readme import IN_DOCS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
RUN_BY = {  # pages whose commands are all run, in small
    "README.md": "test_readme.py",
    "docs/datasets.md": "test_datasets_page.py",
    "docs/reports.md": "test_reports_page.py",
    "docs/take_home.md": "test_take_home_page.py",
}
PROGRAMS = re.compile(
    r"(?:fedvlm|flwr|hf|make|pip|python3?|flower-\w+|ssh|ssh-keygen|ray|docker|sbatch|sudo|git"
    r"|\.?/?[\w/]+\.sh) "
)
MARK = " # needs "
ALONE = (
    "docs/commands.md",  # what the commands say of themselves
    "CONTRIBUTING.md",  # test_contributing.py places what it prints, and runs it
)


def commands(text: str) -> Iterator[str]:
    """The lines of shell blocks, fenced or indented, that start a program; with their comments."""
    text = text.replace("\\\n", " ")
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    for form, block in fenced.findall(text):
        if form in ("", "bash", "sh", "shell", "console"):
            yield from (line.strip() for line in block.splitlines() if line.strip())
    for line in fenced.sub("", text).splitlines():
        if line.startswith("    ") and PROGRAMS.match(line.strip()):
            yield line.strip()


def inline(text: str) -> Iterator[str]:
    """Commands in the middle of a sentence."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (code for code in re.findall(r"`([^`\n]+)`", prose) if PROGRAMS.match(code))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def fault(command: str, run_elsewhere: set[str]) -> str | None:
    """Why a command is not held by what this file and others test; None where it is."""
    words = shlex.split(command.partition(" #")[0])
    match words:
        case ["make", target, *_]:
            there = re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            return None if there else "the Makefile has no such target"
        case ["python", "-m", module, *_]:
            return None if (ROOT / f"{module.replace('.', '/')}.py").is_file() else "no module"
        case ["python", script, *options]:
            return _script_fault(ROOT / script, options)
        case ["fedvlm", verb, *rest]:
            if verb not in available(PACKAGE, packages=True):
                return "there is no such command"
            if command in IN_DOCS or composes(rest):
                return None
            return None if verb in run_elsewhere else "no test runs or composes it"
    return "nothing tests this program here"


def _script_fault(path: Path, options: list[str]) -> str | None:
    if not path.is_file():
        return "there is no such script"
    texts = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
    unknown = [word for word in options if word.startswith("--") and word not in texts]
    return f"it does not know {unknown}" if unknown else None


def composes(words: list[str]) -> bool:
    """Whether words are keys of the configuration with values; those of other kinds are none."""
    keys = [word.split(",")[0] if "-m" in words else word for word in words if "=" in word]
    keys = [key for key in keys if not key.startswith(("raw=", "out=", "hydra"))]
    return bool(keys) and bool(compose({"overrides": shlex.join(map(from_home, keys))}))


def verbs_run() -> set[str]:
    """Commands of `fedvlm` that the pages show whose commands are all run."""
    lines = [line for page in RUN_BY for line in commands((ROOT / page).read_text())]
    return {line.split()[1] for line in lines if line.startswith("fedvlm ")}


OTHERS = [page for page in PAGES if name(page) not in (*RUN_BY, *ALONE)]


@pytest.mark.parametrize("page", OTHERS, ids=name)
def test_every_command_of_a_page_is_held(page: Path) -> None:
    verbs = verbs_run()
    faults = [
        f"{command}: {reason}; test it, or end it with `{MARK.strip()} ...`"
        for command in commands(page.read_text(encoding="utf-8"))
        if MARK not in command and (reason := fault(command, verbs))
    ]
    assert faults == []


@pytest.mark.parametrize(("page", "test"), RUN_BY.items())
def test_a_page_whose_commands_are_run_has_its_test(page: str, test: str) -> None:
    text = (ROOT / "tests" / test).read_text(encoding="utf-8")
    assert Path(page).name in text and any(commands((ROOT / page).read_text()))


PLACEHOLDER = re.compile(r"[<>|]|\.\.\.|KEY=|=[A-Z]|\[--|\bresume=")


@pytest.mark.parametrize("page", [page for page in PAGES if name(page) not in ALONE], ids=name)
def test_a_command_in_a_sentence_is_one(page: Path) -> None:
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for command in set(inline(page.read_text(encoding="utf-8"))):
        words = command.split()
        assert set(re.findall(r"fedvlm-flwr\[(\w+)\]", command)) <= extras, command
        if words[0] in ("make", "python") and not PLACEHOLDER.search(command):
            assert "-X" in words or fault(command, set()) is None, command
        if words[0] == "fedvlm" and words[1] != "help":
            assert words[1] in available(PACKAGE, packages=True), command
            if "=" in command and words[1] not in ("site", "doctor") and command not in IN_DOCS:
                assert PLACEHOLDER.search(command) or composes(words[2:]), command


@pytest.mark.parametrize(
    "command",
    ["rm -rf x", "make nothing", "python no.py", "fedvlm nothing", "fedvlm keys", "flwr stop 1"],
)
def test_a_command_that_nobody_holds_would_be_seen(command: str) -> None:
    text = f"```bash\n{command}\n```"
    (line,) = commands(text)
    assert fault(line, {"run"})
    assert list(commands("    make \\\n  run\n")) == ["make    run"]


def test_what_the_first_page_counts_is_what_the_readme_counts() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    counts = re.findall(r"\d+ (?:%|clients|rounds)|(?:nine|eighteen) \w+", text)
    assert len(counts) == 6 and [words for words in counts if words not in readme] == []


def test_the_citation_is_of_this_version() -> None:
    import tomllib

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = facts["project"]
    for key, value in {"version": project["version"], "license": project["license"]}.items():
        assert cited[key] == value
    assert cited["abstract"] == f"{project['description']}."
    assert cited["keywords"] == project["keywords"]
    assert cited["authors"] == project.get("authors") or [
        {"name": facts["tool"]["flwr"]["app"]["publisher"]}
    ]
    assert {"2506.09638", "2007.14390"} == {
        entry["url"].rpartition("/")[2] for entry in cited["references"]
    }
