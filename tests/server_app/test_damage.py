"""A damaged file of a run folder is found and named; the last whole checkpoint is gone on from."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.run_folder import COST, METRICS, PROGRESS, RUN_CONFIG, RunFolder
from fedvlm_flwr.sealed import sealed
from server_app.saved import EARLIER, read_checkpoint
from tests.server_app.test_resume import STATEFUL, Runner, resume, same, undisturbed

__all__ = ["undisturbed"]  # the fixture

NEWEST = "checkpoint.json"


@pytest.fixture(scope="module")
def killed(small, tmp_path_factory) -> RunFolder:
    """A run that was killed after its third round or so."""
    runner = Runner(small, tmp_path_factory.mktemp("killed"), *STATEFUL)
    assert runner.run("after", 26) == -signal.SIGKILL
    return runner.folder


@pytest.fixture
def folder(killed, tmp_path) -> RunFolder:
    shutil.copytree(killed.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def tensors(folder: RunFolder, checkpoint: str = NEWEST) -> Path:
    facts = json.loads((folder.path / checkpoint).read_text())
    return folder.path / "checkpoints" / facts["tensors"]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def edit(path: Path, seal: bool = False, **changes: object) -> None:
    facts = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(sealed(facts) if seal else facts))


DAMAGES = {
    "a flipped bit in the tensors": lambda f: flip(tensors(f), -5),
    "a zeroed tail of the tensors": lambda f: tensors(f).write_bytes(
        tensors(f).read_bytes()[:-64] + b"\x00" * 64
    ),
    "tensors cut": lambda f: tensors(f).write_bytes(tensors(f).read_bytes()[:-10]),
    "tensors gone": lambda f: tensors(f).unlink(),
    "tensors of the round before": lambda f: shutil.copy(tensors(f, EARLIER), tensors(f)),
    "checkpoint cut": lambda f: (f.path / NEWEST).write_text((f.path / NEWEST).read_text()[:99]),
    "checkpoint empty": lambda f: (f.path / NEWEST).write_text(""),
    "checkpoint of zeros": lambda f: (f.path / NEWEST).write_bytes(b"\x00" * 500),
    "checkpoint gone": lambda f: (f.path / NEWEST).unlink(),
    "a list": lambda f: (f.path / NEWEST).write_text("[1, 2]"),
    "another round": lambda f: edit(f.path / NEWEST, round=9),
    "another round, sealed": lambda f: edit(f.path / NEWEST, seal=True, round=9),
    "a path for a run": lambda f: edit(f.path / NEWEST, seal=True, run="../../victim.txt"),
    "a path for tensors": lambda f: edit(f.path / NEWEST, seal=True, tensors="../../x"),
    "rounds by name": lambda f: edit(f.path / NEWEST, seal=True, saved_rounds={"a": "b"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_checkpoint_before_is_used_and_the_damage_told(folder, damage):
    newest, earlier = read_checkpoint(folder), json.loads((folder.path / EARLIER).read_text())
    assert newest is not None and newest.damage == "" and newest.state.number >= 2
    DAMAGES[damage](folder)
    saved = read_checkpoint(folder)
    assert saved is not None
    assert saved.state.number == earlier["round"] < newest.state.number
    if damage != "checkpoint gone":
        assert str(folder.path) in saved.damage


def test_a_run_goes_on_from_there_exactly(small, folder, undisturbed):
    flip(tensors(folder), -5)
    resume(small, folder, *STATEFUL)
    warnings = [e["message"] for e in folder.lines("progress.jsonl") if e["event"] == "warning"]
    assert any("newest checkpoint is damaged" in text for text in warnings)
    same(folder, undisturbed(*STATEFUL))


def test_where_nothing_whole_is_left_it_is_said_in_one_sentence(folder):
    flip(tensors(folder), -5)
    flip(tensors(folder, EARLIER), -5)
    with pytest.raises(RunError) as refusal:
        read_checkpoint(folder)
    text = str(refusal.value)
    assert text.count("has changed") == 2 and text.endswith("start a new run.")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"",
        lambda text: text[: len(text) // 3],
        lambda text: text.replace(b"accuracy", b"accuracx", 1),
        lambda text: b"\x00" * len(text),
    ],
    ids=["empty", "cut", "a changed letter", "zeros"],
)
def test_a_history_that_is_gone_is_told(small, folder, spoil):
    path = folder.path / METRICS
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(RunError, match=r"metrics\.jsonl is (not what|empty)"):
        resume(small, folder, *STATEFUL)


def test_a_changed_digit_of_the_last_round_is_found_and_the_round_run_again(
    small, folder, undisturbed
):
    """What nobody needs again, the events and the account, may be lost; it is said."""
    last = json.loads((folder.path / NEWEST).read_text())["round"]
    path = folder.path / METRICS
    lines = path.read_bytes().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if f'"round": {last}'.encode() in line)
    lines[place] = lines[place].replace(f'"round": {last}'.encode(), b'"round": 1')
    path.write_bytes(b"".join(lines))
    events = folder.path / PROGRESS
    events.write_bytes(events.read_bytes()[:50] + bytes(100) + events.read_bytes()[150:])
    (folder.path / COST).write_text("{")
    resume(small, folder, *STATEFUL)
    warnings = [e["message"] for e in folder.lines(PROGRESS) if e["event"] == "warning"]
    assert any(f"lines of {events} were removed" in text for text in warnings)
    assert any("metrics.jsonl is not what" in text for text in warnings)
    same(folder, undisturbed(*STATEFUL))


def test_a_finished_run_has_its_last_scores_in_the_checksum(undisturbed, tmp_path):
    shutil.copytree(undisturbed(*STATEFUL).path, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert folder.is_finished()
    path = folder.path / METRICS
    flip(path, path.read_bytes().rindex(b'"value": ') + 9)
    with pytest.raises(RunError, match=r"metrics\.jsonl is not what the run had written"):
        folder.is_finished()


@pytest.mark.parametrize(
    "text", [None, b"", b'{"overrides": "se', b"[]", bytes(50), b"\xff"], ids=str
)
def test_what_a_run_was_started_with_is_missed_in_one_sentence(folder, text, capsys):
    path = folder.path / RUN_CONFIG
    path.unlink() if text is None else path.write_bytes(text)
    assert main(["run", f"resume={folder.path}"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and str(path) in line


def test_a_round_that_the_run_does_not_have_is_refused(small, folder):
    facts = json.loads((folder.path / NEWEST).read_text())
    new = tensors(folder).with_name("stage_3_round_0009.safetensors")
    from fedvlm_flwr.tensor_files import load_tensors, save_tensors
    from server_app.saved import tensor_facts

    arrays = load_tensors(tensors(folder), tensor_facts(facts["run"], 0, facts["round"]))
    save_tensors(new, arrays, tensor_facts(facts["run"], 3, 9))
    edit(folder.path / NEWEST, seal=True, stage=3, round=9, tensors=new.name)
    with pytest.raises(RunError, match="stage 4, round 9, which this run does not have"):
        resume(small, folder, *STATEFUL)
