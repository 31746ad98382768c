"""The run folder."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.run_folder import CONFIG, COST, METRICS, PROGRESS, RunFolder, run_name, runs_root


def test_default_name_tells_time_choices_and_seed() -> None:
    name = run_name(compose({"seed": 3, "partition": "dirichlet", "tuning": "f_l"}))
    choices = "fedavg-easyvqa-dirichlet-f_l-tiny_llava"
    assert re.fullmatch(rf"\d{{8}}-\d{{6}}-{choices}-seed3", name)


def test_configured_name_is_taken_as_it_is() -> None:
    assert run_name(compose({"run-name": "mine"})) == "mine"


def test_root_is_the_home_or_output_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    monkeypatch.delenv("FEDVLM_RUNS")
    assert runs_root(compose({})) == tmp_path.resolve() / "runs"
    monkeypatch.setenv("FEDVLM_RUNS", str(tmp_path / "mine"))
    assert runs_root(compose({})) == tmp_path.resolve() / "mine"
    given = compose({"output-dir": str(tmp_path / "out")})
    assert runs_root(given) == (tmp_path / "out").resolve()


def test_create_makes_the_folder(tmp_path: Path) -> None:
    config = compose({"output-dir": str(tmp_path / "a" / "b"), "run-name": "mine"})
    folder = RunFolder.create(config)
    assert folder.path == (tmp_path / "a" / "b" / "mine").resolve()
    assert folder.path.is_dir()


def test_create_refuses_a_folder_that_holds_a_run(tmp_path: Path) -> None:
    config = compose({"output-dir": str(tmp_path), "run-name": "mine"})
    folder = RunFolder.create(config)
    RunFolder.create(config)  # an empty one is no run yet
    folder.write(CONFIG, "seed: 0\n")
    with pytest.raises(RunError, match="already holds a run") as refusal:
        RunFolder.create(config)
    assert str(folder.path) in str(refusal.value)
    assert (folder.path / CONFIG).read_text() == "seed: 0\n"


def test_create_says_which_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = compose({"output-dir": str(tmp_path / "file"), "run-name": "mine"})
    with pytest.raises(RunError, match=r"cannot be made .*output_dir"):
        RunFolder.create(config)


def test_lines_give_back_what_was_appended(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    records: list[dict[str, Any]] = [
        {"round": 0, "value": 0.1, "text": 'a "b"\nc'},
        {"round": 1, "value": None, "text": "größer"},
        {"nested": {"list": [1, 2]}},
    ]
    folder.append(METRICS, records[0])
    folder.append(METRICS)
    folder.append(METRICS, *records[1:])
    assert list(folder.lines(METRICS)) == records
    assert len((tmp_path / METRICS).read_text().splitlines()) == 3


def test_lines_of_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    assert list(RunFolder(tmp_path).lines(METRICS)) == []


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write("predictions.jsonl", "a much longer first text")
    folder.write("predictions.jsonl", "short")
    assert (tmp_path / "predictions.jsonl").read_text() == "short"


def test_cost_is_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write(COST, json.dumps({"bytes": {"up": 3}}))
    assert folder.cost() == {"bytes": {"up": 3}}


@pytest.mark.parametrize("text", [None, b"", b'{"bytes"', b"[]", bytes(40), b"\xff"], ids=str)
def test_a_damaged_account_is_named(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / COST).write_bytes(text)
    with pytest.raises(RunError, match=r"cost\.json (cannot be read|is damaged)"):
        RunFolder(tmp_path).cost()


def test_lines_that_hold_no_record_are_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append(PROGRESS, {"a": 1}, {"b": 2}, {"c": 3}, {"d": 4})
    assert folder.remove_damaged(PROGRESS) == folder.remove_damaged(METRICS) == ""
    path = tmp_path / PROGRESS
    path.write_bytes(path.read_bytes().replace(b'{"b": 2}\n{"c', bytes(9) + b'\n[1]\n\xff{"c'))
    assert folder.remove_damaged(PROGRESS).startswith(f"3 damaged lines of {path} were removed")
    assert list(folder.lines(PROGRESS)) == [{"a": 1}, {"d": 4}]
