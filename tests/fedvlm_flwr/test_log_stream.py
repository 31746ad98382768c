"""A run's events and files through a log, as it may come: twice, in pieces, with gaps."""

from pathlib import Path

import pytest

from fedvlm_flwr.log_stream import MARK, LogReceiver, LogSender, is_file_name
from fedvlm_flwr.run_folder import PROGRESS, RunFolder


@pytest.fixture
def source(tmp_path: Path) -> RunFolder:
    """A run's folder over there."""
    folder = tmp_path / "there"
    (folder / "adapter").mkdir(parents=True)
    (folder / "config.yaml").write_text("a: 1\n")
    (folder / "run_config.json").write_text("{}\n")
    (folder / "metrics.jsonl").write_bytes(bytes(range(256)) * 300)
    (folder / "adapter" / "large.safetensors").write_bytes(b"x" * 200_000)
    (folder / "result.json").write_text('{"base": "ab"}')  # to ask the model over here
    (folder / "checkpoint.json").write_text("{}")
    return RunFolder(folder)


@pytest.fixture
def log(source: RunFolder, capsys) -> list[str]:
    """The lines of its log, with some of Flower's in between."""
    sender = LogSender(source, largest=100_000)
    sender.start()
    sender.event({"event": "start", "what": "über alles"})
    print("INFO : a line of Flower's")
    sender.event({"event": "end", "table": "T", "folder": str(source.path)})
    sender.end()
    return capsys.readouterr().out.splitlines(keepends=True)


@pytest.fixture
def here(tmp_path: Path) -> RunFolder:
    (tmp_path / "here").mkdir()
    return RunFolder(tmp_path / "here")


def test_all_of_it_arrives(log, source, here) -> None:
    receiver = LogReceiver(here, "7")
    others = [line for line in log if not receiver.take(line)]
    assert [line for line in others if line.strip()] == ["INFO : a line of Flower's\n"]
    assert receiver.place == str(source.path) and not receiver.missing()
    for name in ("config.yaml", "metrics.jsonl", "result.json", "checkpoint.json"):
        assert (here.path / name).read_bytes() == (source.path / name).read_bytes()
    assert receiver.stays == {"adapter/large.safetensors": 200_000}
    assert [event["event"] for event in here.lines(PROGRESS)] == ["start"]  # the end is held back
    receiver.tell_last()
    assert list(here.lines(PROGRESS))[-1]["folder"] == str(here.path)


def test_a_run_that_is_left_once_it_has_a_configuration_can_be_followed_again(log, here) -> None:
    """What it was started with is there by then, however soon that is."""
    receiver = LogReceiver(here, "7")
    for line in log:
        receiver.take(line)
        if (here.path / "config.yaml").exists():
            break
    assert (here.path / "run_config.json").exists()


def test_what_is_read_again_is_told_once(log, here) -> None:
    """By the same process after a break, and by another one later; another run is told anew."""
    receiver = LogReceiver(here, "7")
    for line in 2 * log:
        receiver.take(line)
    later = LogReceiver(here, "7")
    for line in log:
        later.take(line)
    assert later.last is not None and not later.missing()
    assert len(list(here.lines(PROGRESS))) == 1
    other = LogReceiver(here, "8")
    for line in log:
        other.take(line)
    assert len(list(here.lines(PROGRESS))) == 2


@pytest.mark.parametrize("fault", ["lost", "damaged", "cut"])
def test_a_file_that_does_not_arrive_whole_is_missing(log, here, fault) -> None:
    at = next(i for i, line in enumerate(log) if '"metrics.jsonl", "part": 0' in line)
    damaged = log[at].replace('"data": "', '"data": "AAAA')
    log[at] = {"lost": "", "damaged": damaged, "cut": log[at][:500]}[fault]
    receiver = LogReceiver(here, "7")
    for line in log:
        receiver.take(line)
    assert receiver.missing() == ["metrics.jsonl"]
    assert not (here.path / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "adapter/../x", "adapter/a/b", ".lock", PROGRESS, "a\nb", ""]
)
def test_no_file_reaches_another_place(name, here) -> None:
    assert not is_file_name(name)
    receiver = LogReceiver(here, "7")
    receiver.take(f'{MARK}{{"n": 1, "file": {name!r}, "parts": 1, "sha256": ""}}'.replace("'", '"'))
    assert not receiver.missing() and not list(here.path.iterdir())


@pytest.mark.parametrize("name", ["config.yaml", "adapter/model.safetensors", "curve.png"])
def test_names_of_a_result(name) -> None:
    assert is_file_name(name)
