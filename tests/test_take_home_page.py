"""docs/take_home.md: its commands run, one after the other, on a finished run."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.run_folder import RunFolder
from tests import forms
from tests.layout import picture
from tests.test_readme import ROOT, commands

PAGE = (ROOT / "docs" / "take_home.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line)[1:] for line in commands(PAGE)]


def test_the_commands_of_the_page_run(
    finished: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [words for words in COMMANDS if words[0] == "run"]
    assert len(runs) == 2, "a run takes minutes: its place is taken by one that is there"
    for words in runs:
        keys = dict(word.split("=") for word in words[1:])
        place = Path(keys["output_dir"], keys["run_name"])
        shutil.copytree(finished.path, place)
        config = (place / "config.yaml").read_text()
        algorithm = keys.get("algorithm", "fedavg")
        (place / "config.yaml").write_text(config.replace("name: fedavg", f"name: {algorithm}"))
    picture(Path("photo.png"), (200, 10, 10))
    line = json.dumps({"image": "photo.png", "question": "describe the image."})
    Path("questions.jsonl").write_text(f"{line}\n")
    forms.pictures(Path("my_data"))
    forms.lines(Path("my_data/test.jsonl"), forms.flat())
    others = [words for words in COMMANDS if words[0] != "run"]
    assert {words[0] for words in others} == {"predict", "evaluate", "compare", "export"}
    for words in others:
        status = main(words)
        output = capsys.readouterr()
        if "--save" in words and status:  # not every picture has a box in its answer
            assert "holds no box to draw" in output.err
        else:
            assert status == 0, output.err
    assert len(Path("answers.jsonl").read_text().splitlines()) == 1
    for folder in ("adapter", "merged"):
        assert Path(folder, "README.md").exists()
    assert {path.name for path in Path("runs/average/evaluations").iterdir()} == {
        "easyvqa",
        "easyvqa-validation",
        "folder",
    }
