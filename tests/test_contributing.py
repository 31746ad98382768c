"""What CONTRIBUTING.md shows, placed as files exactly as printed, passes our own checks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRINTED = re.compile(r"`([a-z_/]+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL)
PACKAGES = ("fedvlm_flwr", "strategies", "client_app", "server_app", "conf", "tests")
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md")
TOUCHED = ("tests/test_conf.py", "tests/test_imports.py", "tests/strategies")


@pytest.fixture
def checkout(tmp_path):
    """This checkout with the printed files in it."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    printed = PRINTED.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    names = [name for name, _ in printed]
    assert names == [
        "strategies/fedstep.py",
        "conf/algorithm/fedstep.yaml",
        "tests/strategies/test_fedstep.py",
    ]
    for name, text in printed:
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "strategies/fedstep.py", "--follow-imports=silent"],
        ["pytest", "-p", "no:cacheprovider", "-k", "fedstep or imports", *TOUCHED],
        ["pytest", "-p", "no:cacheprovider", "-k", "fedstep", "tests/server_app"],
    ],
    ids=["lint", "format", "types", "tests", "run"],
)
def test_the_worked_example_passes(checkout, command):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if command[0] == "pytest":
        assert "deselected" in done.stdout and "failed" not in done.stdout
