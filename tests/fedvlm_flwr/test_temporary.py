"""Temporary folders of living and of dead processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.temporary import OWNER, PREFIX, temporary_folder

HOLD = """
import sys, time
from pathlib import Path
from fedvlm_flwr.temporary import temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


def test_it_is_gone_after_the_block(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), temporary_folder(tmp_path) as folder:
        (folder / "file").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_goes_and_what_living_ones_have_stays(tmp_path: Path) -> None:
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        killed, living = (Path(str(h.stdout and h.stdout.readline()).strip()) for h in holders)
        (tmp_path / f"{PREFIX}old-version").mkdir()  # perhaps in use: it has no mark
        (tmp_path / "other" / OWNER).mkdir(parents=True)
        holders[0].kill()
        holders[0].wait()
        assert (killed / "file").exists()
        with temporary_folder(tmp_path):
            assert not killed.exists()
            assert (living / "file").exists()
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {living.name, f"{PREFIX}old-version", "other"}
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


def test_a_place_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    words = r"No temporary folder can be made \(No such file.*TMPDIR"
    with pytest.raises(RunError, match=words), temporary_folder(tmp_path / "missing"):
        raise AssertionError
