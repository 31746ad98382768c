"""Following a run that is being written."""

import json
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.report.follow import POLL_SECONDS, following
from fedvlm_flwr.run_folder import PROGRESS, RunFolder


def start(what: str) -> dict[str, Any]:
    return {"event": "start", "what": what}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nothing was shown in ten seconds"
        time.sleep(0.01)


def test_shows_events_while_another_thread_writes_them(tmp_path: Path) -> None:
    folder, text = RunFolder(tmp_path), StringIO()
    read_on = threading.Event()

    def write() -> None:
        folder.append(PROGRESS, start("one"))
        assert read_on.wait(10)
        folder.append(PROGRESS, {"event": "round_start", "round": 1}, start("two"))

    writer = threading.Thread(target=write)
    with following(folder, Console(file=text)):
        assert text.getvalue() == ""
        writer.start()
        wait_until(lambda: text.getvalue() == "one\n")  # before the second one is written
        read_on.set()
        writer.join()
    assert text.getvalue() == "one\ntwo\n"


def test_all_is_told_when_the_block_ends_at_once(tmp_path: Path) -> None:
    folder, text = RunFolder(tmp_path), StringIO()
    with following(folder, Console(file=text)):
        folder.append(PROGRESS, *(start(str(number)) for number in range(50)))
    assert text.getvalue().split() == [str(number) for number in range(50)]


def test_all_is_told_when_the_block_raises(tmp_path: Path) -> None:
    folder, text = RunFolder(tmp_path), StringIO()
    try:
        with following(folder, Console(file=text)):
            folder.append(PROGRESS, start("last words"))
            raise RuntimeError("stop")
    except RuntimeError as error:
        assert str(error) == "stop"
    assert text.getvalue() == "last words\n"


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    line, text = json.dumps(start("whole")), StringIO()
    with following(RunFolder(tmp_path), Console(file=text)):
        with (tmp_path / PROGRESS).open("a") as file:
            file.write(json.dumps(start("before")) + "\n" + line[:12])
        wait_until(lambda: text.getvalue() == "before\n")
        time.sleep(2 * POLL_SECONDS)
        assert text.getvalue() == "before\n"
        with (tmp_path / PROGRESS).open("a") as file:
            file.write(line[12:] + "\n")
        wait_until(lambda: "whole" in text.getvalue())
    assert text.getvalue() == "before\nwhole\n"


def test_half_a_last_line_is_never_shown(tmp_path: Path) -> None:
    text = StringIO()
    with following(RunFolder(tmp_path), Console(file=text)):
        (tmp_path / PROGRESS).write_text(json.dumps(start("half")))
    assert text.getvalue() == ""


def test_a_run_that_tells_nothing(tmp_path: Path) -> None:
    text = StringIO()
    with following(RunFolder(tmp_path), Console(file=text)):
        pass
    assert text.getvalue() == ""


class Refusing(StringIO):
    """Output that takes nothing, as a file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError("the disk is full")


def test_progress_that_cannot_be_shown_is_told_when_the_run_has_ended(tmp_path: Path) -> None:
    folder, ran = RunFolder(tmp_path), []
    words = r"could not be shown \(OSError: the disk is full\); the run itself is whole"
    with pytest.raises(RunError, match=words), following(folder, Console(file=Refusing())):
        folder.append(PROGRESS, start("one"))
        ran.append(True)
    assert ran


def test_a_runs_own_failure_is_told_before_that_of_its_progress(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    refusing = Console(file=Refusing())
    with pytest.raises(RuntimeError, match="the run"), following(folder, refusing):
        folder.append(PROGRESS, start("one"))
        raise RuntimeError("the run")
