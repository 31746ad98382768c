"""`fedvlm prepare` makes datasets from raw sources and checks them."""

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from fedvlm_flwr.cli import main
from fedvlm_flwr.models.weights.prepared import MANIFEST, write_manifest
from fedvlm_flwr.paths import PACKAGE, SHIPPED
from tests import forms
from tests.fedvlm_flwr.data.sources.test_slake import straddle
from tests.layout import organs, record, write
from tests.miniatures import slake

Capture = pytest.CaptureFixture[str]


def prepare(*words: str) -> int:
    return main(["prepare", *words])


def test_a_dataset_is_made_counted_compared_and_checked(tmp_path: Path, capsys: Capture) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    slake.build(raw)
    assert prepare("dataset=fed_slake", f"raw={raw}", f"out={out}") == 0
    told = capsys.readouterr().out
    assert "slake: 12 questions" in told
    assert "vqa records: 12, published 8,061 (-8,049)" in told
    assert "clients: 3, published 3 (as published)" in told
    assert told.endswith(f"{out}: 12 records, 0 of them bad\n")
    assert "note: which questions are closed is read from answer_type" in told
    about = json.loads((out / "counts.json").read_text())
    assert about["compared"]["vqa"] == {"made": 12, "published": 8061}
    assert sum(row["records"] for row in about["records"]) == 12
    assert about["making"]["sources"]["slake"]["reading"]["languages"] == ["en"]


def test_a_question_without_an_answer_is_left_out_and_said(tmp_path: Path, capsys: Capture) -> None:
    slake.build(tmp_path / "raw")
    path = tmp_path / "raw" / "train.json"
    records = json.loads(path.read_text())
    records[0]["answer"] = ""
    path.write_text(json.dumps(records))
    words = ["dataset=fed_slake", f"raw={tmp_path / 'raw'}", f"out={tmp_path / 'out'}"]
    assert prepare(*words) == 0
    said = capsys.readouterr().out
    assert "slake: 11 questions" in said
    assert "slake: 1 records of the source left out (no answer: 1)" in said
    files = sorted((tmp_path / "out" / "clients" / "train").glob("*.json"))
    regions = [{record["region"] for record in json.loads(file.read_text())} for file in files]
    assert sorted(map(sorted, regions)) == [["abdomen"], ["chest"], ["head"]]


def test_a_source_s_values_can_be_set(tmp_path: Path, capsys: Capture) -> None:
    slake.build(tmp_path / "raw")
    reading = "dataset.making.sources.slake.reading"
    words = [f"raw={tmp_path / 'raw'}", f"dataset.root={tmp_path / 'out'}"]
    assert prepare("dataset=fed_slake", *words, f"{reading}.languages=[en,zh]") == 0
    assert "slake: 16 questions" in capsys.readouterr().out
    assert (tmp_path / "out" / "counts.json").exists()


def test_languages_that_split_pictures_differently_are_told_with_the_cure(
    tmp_path: Path, capsys: Capture
) -> None:
    slake.build(tmp_path / "raw")
    straddle(tmp_path / "raw")
    reading = "dataset.making.sources.slake.reading"
    words = ["dataset=fed_slake", f"raw={tmp_path / 'raw'}", f"{reading}.languages=[en,zh]"]
    assert prepare(*words, f"out={tmp_path / 'published'}") == 1
    said = capsys.readouterr().out
    assert "slake: 1 of 9 pictures are asked about in training and test" in said
    assert f"one split for all: {reading}.split=picture" in said
    assert prepare(*words, f"out={tmp_path / 'picture'}", f"{reading}.split=picture") == 0
    assert "asked about in training and test" not in capsys.readouterr().out


def test_what_is_there_is_not_overwritten(tmp_path: Path, capsys: Capture) -> None:
    slake.build(tmp_path / "raw")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("all of it")
    assert prepare("dataset=fed_slake", f"raw={tmp_path / 'raw'}", f"out={tmp_path / 'out'}") == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "out" / "thesis.tex").read_text() == "all of it"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["dataset=fed_slake", "out=/x"], "out=/x goes with raw="),
        (["dataset=easyvqa", "raw=/x"], "dataset=easyvqa is not made from raw sources"),
        (["dataset=fed_slake", "raw=/nowhere"], "no folder /nowhere for the source slake"),
        (["--check", "dataset=fed_slake", "dataset.root=/nowhere"], "no dataset folder /nowhere"),
        (["--check", "dataset=fed_slake"], r"no dataset folder .*data/fed_slake"),
    ],
)
def test_wrong_calls_say_what_to_change(words: list[str], why: str, capsys: Capture) -> None:
    assert prepare(*words) == 1
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(capsys.readouterr().err)


def test_the_check_prints_a_line_a_problem_and_fails(tmp_path: Path, capsys: Capture) -> None:
    root = organs(tmp_path)
    (root / "image" / "slake" / "01.png").write_bytes(b"broken")
    write(root / "clients/train/client_2.json", [record("slake/20.png", " ")])
    words = ["--check", "dataset=fed_slake", f"dataset.root={root}"]
    assert prepare(*words) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "train: 5 records of 3 files",
        "test: 3 records of 1 files",
        "fields that a partition may go by: client",
    ]
    assert [line.split(": ")[:2] for line in lines[3:-1] if line.startswith("bad")] == [
        ["bad", "clients/train/client_0.json"],
        ["bad", "clients/train/client_2.json"],
    ]
    assert lines[-1] == f"{root}: 8 records, 2 of them bad"
    assert prepare(*words, "dataset.allow_errors=2") == 1  # still bad, only allowed
    assert prepare("--check", "dataset=easyvqa", *TINY) == 0


TINY = ("dataset.train_pictures=2", "dataset.test_pictures=2")


def test_the_check_tells_kinds_with_counts_and_three_examples(
    tmp_path: Path, capsys: Capture
) -> None:
    forms.pictures(tmp_path)
    rows = [row | {"answer": None if i < 8 else "yes"} for i, row in enumerate(forms.flat())]
    forms.lines(tmp_path / "train.jsonl", rows[:-1])
    forms.lines(tmp_path / "test.jsonl", rows[-1:])
    words = ["--check", "dataset=folder", f"dataset.root={tmp_path}", "dataset.task=vqa"]
    assert prepare(*words) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("bad: ")]
    assert len(lines) == 4
    assert lines[0].startswith("bad: 8 records: Record ... has an empty answer;")


def test_the_check_tells_what_rounding_costs_small_boxes(tmp_path: Path, capsys: Capture) -> None:
    forms.pictures(tmp_path)
    rows = forms.flat(answer="[3, 5, 1, 2]", task="detection")
    forms.lines(tmp_path / "data.jsonl", rows)
    words = ["--check", "dataset=folder", f"dataset.root={tmp_path}", "dataset.boxes=pixels"]
    said = []
    for decimals in (1, 4):
        assert prepare(*words, f"dataset.box_decimals={decimals}") == 0
        (line,) = [o for o in capsys.readouterr().out.splitlines() if "IoU" in o]
        said.append(float(line.split("IoU is ")[1].split()[0]))
    # exact: (0.125, 0.3125, 1/24, 1/8); of one decimal: no width at all
    assert said[0] == 0
    assert said[1] > 0.99


def test_the_check_measures_answers_in_the_models_tokens(
    small: list[str], tmp_path: Path, capsys: Capture
) -> None:
    forms.pictures(tmp_path)
    rows = forms.flat(answer="a red circle", task="captioning")
    rows[5]["answer"] = "a red circle " * 40
    forms.lines(tmp_path / "data.jsonl", rows)
    words = ["--check", "experiment=smoke", "dataset=folder", f"dataset.root={tmp_path}"]
    assert prepare(*words) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("up to 121 tokens" in line and "which 0 of them exceed" in line for line in lines)
    (bad,) = [line for line in lines if line.startswith("bad: ")]
    assert bad.startswith("bad: data.jsonl-5: its answer does not fit model.max_text_tokens=")
    assert bad.endswith("set dataset.long_answers=cut")
    assert prepare(*words, "dataset.long_answers=cut", "dataset.split_seed=3") == 0
    assert "1 training answers do not fit" in capsys.readouterr().out
    prepare(*words, "eval.max_new_tokens=4")
    assert (
        "is ended after 4 (eval.max_new_tokens), which 1 of them exceed" in capsys.readouterr().out
    )


def test_a_dataset_without_training_records_fails_the_check(
    tmp_path: Path, capsys: Capture
) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "test.jsonl", forms.flat())
    words = ["--check", "dataset=folder", f"dataset.root={tmp_path}", "dataset.task=vqa"]
    assert prepare(*words) == 1
    assert "bad: there is no good train record" in capsys.readouterr().out


STEPS = [f"model.tiny.pretrain.{phase}.steps=3" for phase in ("vision", "text", "language")]
FEW = ("experiment=smoke", "dataset.test_pictures=2", "dataset.train_pictures=4")


def test_a_model_of_the_package_is_made_anew_and_compared(
    cheap_once: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    shipped = tmp_path / PACKAGE.name / SHIPPED / cheap_once.name
    shutil.copytree(cheap_once, shipped)
    weights = load_file(shipped / "model.safetensors")
    weights[min(weights)].view(-1)[7] += 0.5
    save_file(weights, shipped / "model.safetensors", {"format": "pt"})
    (shipped / MANIFEST).unlink()
    write_manifest(shipped, {}, 0.0)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert prepare("--rebuild", *FEW, *STEPS) == 0
    output = capsys.readouterr().out
    count = sum(tensor.numel() for tensor in weights.values())
    assert f"largest difference 5.00e-01, rms {0.5 / count**0.5:.2e} of " in output
    assert re.search(r"^vqa accuracy: 0\.\d{3} of the package, 0\.\d{3} anew$", output, re.M)
    assert not (home / "models" / shipped.name).exists()


def test_only_a_model_of_the_package_is_made_anew(capsys: Capture) -> None:
    assert prepare("--rebuild", *FEW, *STEPS) == 1
    assert "No model=tiny_llava of this recipe travels with the package" in capsys.readouterr().err
