"""`fedvlm doctor site` and `fedvlm doctor server`: each finding has its cure."""

from pathlib import Path

import pytest

from fedvlm_flwr.cli import main

FOLDER = ["experiment=smoke", "dataset=folder", "dataset.test_fraction=0.5"]


def told(capsys, *words: str) -> tuple[int, str]:
    status = main(["doctor", *words])
    return status, capsys.readouterr().out


def test_a_site(tmp_path: Path, small, capsys) -> None:
    (tmp_path / "data").mkdir()
    words = ["ca=none.crt", "key=none", f"data-root={tmp_path / 'data'}", "device=tpu"]
    status, output = told(capsys, "site", *words, f"state-dir={tmp_path}", *FOLDER)
    assert status == 1
    assert "FAIL  certificate none.crt cannot be read" in output
    assert "FAIL  key none cannot be read" in output
    assert f"FAIL  data-root {tmp_path / 'data'}: " in output
    assert "FAIL  device=tpu is unknown" in output
    assert f"states of runs in {tmp_path}" in output
    assert "port 9094" in output


def test_a_base_that_is_not_there_is_a_command(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path))
    words = ["experiment=smoke", "model.tiny.pretrain.seed=5"]
    _, output = told(capsys, "site", *words)
    assert f"is not prepared here; run `fedvlm site prepare {' '.join(words)}`" in output


def test_a_server(tmp_path, small, capsys) -> None:
    words = ["certificate=a", "key=b", "ca=c", f"database={tmp_path}/none/state.db"]
    status, output = told(capsys, "server", *words, "experiment=smoke")
    assert status == 1
    assert "FAIL  certificate a cannot be read" in output
    assert f"the SuperLink's database in {tmp_path}/none" in output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["site", "port=many"], "port=many is no port"),
        (["server", "ca=c"], "belong together"),
        (["site", "key=a", "key=b"], "key is set twice"),
        (["site", "train.lr=much"], "train.lr"),
    ],
)
def test_a_wrong_word_is_a_sentence(words, sentence, capsys) -> None:
    assert main(["doctor", *words]) == 1
    assert sentence in capsys.readouterr().err
