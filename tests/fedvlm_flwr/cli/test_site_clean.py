"""`fedvlm site clean` removes old states and nothing else."""

import os
import time
from pathlib import Path

import pytest

from fedvlm_flwr.cli import main

OLD, NEW = "0" * 31 + "a", "0" * 31 + "b"


@pytest.fixture
def states(tmp_path: Path) -> Path:
    """An old state, a new one in an old folder, a simulation's link, and what is none."""
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "states"
    for name in (OLD, NEW, "notes"):
        (folder / name / "client_0").mkdir(parents=True)
        (folder / name / "client_0" / "c.safetensors").write_bytes(b"x" * 2000)
    (folder / ("0" * 31 + "c")).symlink_to(outside)
    for path in (*folder.rglob("*"), outside):
        if path.parent.parent.name != NEW:
            os.utime(path, (time.time() - 40 * 86400,) * 2, follow_symlinks=False)
    return folder


def test_old_states_are_removed(states, capsys) -> None:
    words = ["site", "clean", f"state-dir={states}"]
    assert main([*words, "--dry-run"]) == 0
    assert f"would remove {states / OLD} (40 days old, 2.0 kB)" in capsys.readouterr().out
    assert (states / OLD).exists()
    assert main([*words, "days=41"]) == 0 and (states / OLD).exists()
    assert main(words) == 0
    assert "1 states older than 30 days" in capsys.readouterr().out
    assert sorted(path.name for path in states.iterdir()) == [NEW, "0" * 31 + "c", "notes"]
    assert (states.parent / "outside").is_dir()


@pytest.mark.parametrize("word", ["days=0", "days=-1", "days=x", "state-dir=/none", "keep=1"])
def test_a_wrong_word_removes_nothing(word, states, capsys) -> None:
    assert main(["site", "clean", word]) == 1
    assert word.partition("=")[0] in capsys.readouterr().err
    assert (states / OLD).exists()
