"""The page that grows while a run goes on, and the time that is left."""

import http.client
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.report.page import serving as module
from fedvlm_flwr.report.page.serving import serving
from fedvlm_flwr.report.time_left import TimeLeft, duration
from fedvlm_flwr.run_folder import METRICS, PROGRESS, RunFolder
from tests.fedvlm_flwr.report.folders import line, write_run

PLACE = {"stage": 0, "rounds": 4}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers that ask often, so that nobody is waited for long."""
    monkeypatch.setattr(module, "REFRESH", 0.1)


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as reply:  # our own server
        assert reply.headers["Cache-Control"] == "no-store"
        text: str = reply.read().decode()
    return text


def test_the_page_grows_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH", 5)
    folder = RunFolder(write_run(tmp_path / "run", [0.1, 0.2], num_rounds=4))
    end = {"event": "round_end", **PLACE, "round": 1, "seconds": 30.0}
    with serving(folder, None) as address:
        assert address.startswith("http://127.0.0.1:")
        before = get(address)
        assert 'http-equiv="refresh"' in before and "starting" in before
        assert "0.987" not in before
        folder.append(PROGRESS, {"event": "round_start", **PLACE, "round": 1}, end)
        folder.append(METRICS, line(2, "server", "vqa", "accuracy", 0.987))
        after = get(address)
        assert "0.987" in after
        assert "1 of 4 rounds are done, about 1 min 30 s left" in after
        watcher = threading.Timer(0.3, lambda: pages.append(get(address)))
        pages: list[str] = []
        watcher.start()
    watcher.join()
    (last,) = pages  # who is watching has the last state before the server goes
    assert 'http-equiv="refresh"' not in last and "The run has ended." in last
    with pytest.raises(OSError, match="refused"):
        get(address)


def test_a_run_that_has_written_nothing_has_a_page_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH", 5)
    with serving(RunFolder(tmp_path), None) as address:
        assert "starting" in get(address)
        RunFolder(tmp_path).append(PROGRESS, {"event": "error", "message": "no <model>"})
        end = threading.Timer(0.2, lambda: pages.append(get(address)))
        pages: list[str] = []
        end.start()
    end.join()
    assert "no &lt;model&gt;" in pages[0]


def test_nobody_watches_and_nothing_waits(tmp_path: Path) -> None:
    began = time.monotonic()
    with serving(RunFolder(tmp_path), None):
        pass
    assert time.monotonic() - began < 2
    with serving(RunFolder(tmp_path), None) as address:  # a browser that was closed since
        get(address)
    assert time.monotonic() - began < 4


def test_only_this_machine_s_own_address_is_answered(tmp_path: Path) -> None:
    with serving(RunFolder(tmp_path), None) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        for path, host, status in (
            ("/", f"127.0.0.1:{port}", 200),
            ("/", f"localhost:{port}", 200),
            ("/", f"somewhere.example:{port}", 403),
            ("/../config.yaml", f"127.0.0.1:{port}", 404),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path, headers={"Host": host})
            assert connection.getresponse().status == status, (path, host)
            connection.close()
        with pytest.raises(ConfigError, match=rf"report\.port={port} cannot be served on"):
            serving(RunFolder(tmp_path), port).__enter__()


def test_damage_is_told_and_does_not_end_the_server(tmp_path: Path) -> None:
    folder = RunFolder(write_run(tmp_path / "run", [0.1, 0.2]))
    with serving(folder, None) as address:
        whole = (folder.path / METRICS).read_bytes()
        (folder.path / METRICS).write_bytes(b"{]\n" + whole)
        with pytest.raises(urllib.error.HTTPError, match="500"):
            get(address)
        (folder.path / METRICS).write_bytes(whole + b"\n"[:0])
        assert "vqa" in get(address)


def test_time_left_is_the_mean_round_with_its_evaluation() -> None:
    """(10 + 2 + 20 + 4) / 2 = 18 seconds a round, two are left."""
    left = TimeLeft()
    assert left.words == "" and left.seconds is None
    events = [
        {"event": "evaluated", "where": "server", "round": 0, "seconds": 99.0},
        {"event": "round_start", **PLACE, "round": 1},
        {"event": "round_end", **PLACE, "round": 1, "seconds": 10.0},
        {"event": "evaluated", "where": "client:3", "round": 1, "seconds": 1.0},
        {"event": "evaluated", "where": "clients", "round": 1, "seconds": 2.0},
        {"event": "round_end", **PLACE, "round": 2, "seconds": 20.0},
        {"event": "evaluated", "where": "server", "round": 2, "seconds": 4.0},
    ]
    for event in events:
        left.take(event)
    assert left.seconds == 36 and left.words == "about 36 s left"
    left.take({"event": "resumed", "round": 2})
    assert left.seconds is None


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 59.6, 61, 3599, 7500)] == [
        "0 s",
        "1 min 0 s",
        "1 min 1 s",
        "59 min 59 s",
        "2 h 5 min",
    ]
