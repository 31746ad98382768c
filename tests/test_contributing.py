"""What CONTRIBUTING.md shows, placed as files exactly as printed, passes our own checks."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.duration import SLOW
from tests.printed import printed

ROOT = Path(__file__).parents[1]
PACKAGES = (
    *("fedvlm_flwr", "strategies", "client_app", "server_app"),
    *("conf", "deploy", "benchmarks", "tests", "tools"),
)
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md")
NAMES = ("fedstep", "counting")
TESTS = (  # what could notice a new algorithm or a new task
    "tests/test_conf.py",
    "tests/test_imports.py",
    "tests/strategies",
    "tests/server_app/test_all_algorithms.py",
    "tests/fedvlm_flwr/tasks",
    "tests/fedvlm_flwr/test_contracts.py",
    "tests/fedvlm_flwr/config/test_keys.py",
    "tests/fedvlm_flwr/report/test_table.py",
)
WORDS = " or ".join((*NAMES, "imports", "docstring", "cut_off"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """This checkout with the printed files in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    cache = ".mypy_cache"  # without what `make lint` has left here, all is read anew: a minute
    if (ROOT / cache).is_dir():
        shutil.copytree(ROOT / cache, folder / cache)
    for name, text in printed().items():
        assert not (folder / name).exists(), f"{name} is printed, and is there already"
        (folder / name).write_text(text, encoding="utf-8")
    yield folder
    shutil.rmtree(folder / cache, ignore_errors=True)


def run(checkout: Path, home: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "FEDVLM_TESTS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_whole_examples_are_printed() -> None:
    assert list(printed()) == [
        "strategies/fedstep.py",
        "conf/algorithm/fedstep.yaml",
        "tests/strategies/test_fedstep.py",
        "fedvlm_flwr/tasks/counting.py",
        "tests/fedvlm_flwr/tasks/test_counting.py",
    ]


@pytest.mark.parametrize("start", SLOW)
def test_what_is_named_as_slow_is_there(start):
    file, _, test = start.partition("::")
    assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8")


def test_the_quick_part_is_all_but_the_slow_tests():
    commands = re.findall(r"^\t(\$\(PYTEST\).*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert commands == ["$(PYTEST)", '$(PYTEST) -m "not slow"']


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_the_worked_examples_keep_the_rules(checkout, home, command):
    run(checkout, home, *command)


def test_the_worked_examples_pass_their_tests_and_everybodys(checkout, home, small):
    """A run of the algorithm among them; it finds the base model that is here already."""
    text = run(checkout, home, "pytest", "-vv", "-p", "no:cacheprovider", "-k", WORDS, *TESTS)
    assert "deselected" in text and "failed" not in text
    for name in NAMES:
        assert re.search(rf"test_{name}\.py::test_by_hand PASSED", text)
    assert "flowers_own_start[fedstep] PASSED" in text
    assert re.search(r"TestEveryTask::test_\w+\[counting\] PASSED", text)
