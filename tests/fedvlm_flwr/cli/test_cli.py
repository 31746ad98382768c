"""The command line in this process: exit statuses, sentences, sweeps."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import Config, compose
from fedvlm_flwr.plugins import available
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import METRICS, RunFolder

COMMANDS = available("fedvlm_flwr.cli", packages=True)


def run_folders(text: str) -> list[Path]:
    return [Path(found) for found in re.findall(r"run folder: (\S+)", text)]


def test_help_lists_every_command_with_its_summary(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z]", text, re.MULTILINE)


def test_no_command_and_an_unknown_one_are_wrong_usage(capsys):
    assert main([]) == 2
    assert main(["fly"]) == 2
    known = ", ".join(COMMANDS)
    assert f"Unknown command 'fly'; choose one of: {known}." in capsys.readouterr().err


def test_the_home_folder_may_be_written_short(monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/home/someone")
    assert main(["prepare", "--check", "dataset=fed_slake", "dataset.root=~/fed_slake"]) == 1
    assert "no dataset folder /home/someone/fed_slake" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"usage: fedvlm {command}" in capsys.readouterr().out


def test_a_run_prints_progress_a_table_and_last_the_folder(small, capsys):
    assert main(["run", *small]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    (folder,) = run_folders(lines[-1])
    assert lines[-1] == f"run folder: {folder}"
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    text = "\n".join(lines)
    assert re.search(r"^round 1/2: loss \d\.\d+, 3 clients, [\d.]+ s, .* down, .* up$", text, re.M)
    assert re.search(r"^ before +", text, re.M) and re.search(r"^ shuffled images +", text, re.M)


@pytest.mark.parametrize("words", [(), ("output_dir=a place", "run_name=mine", "seed=3")])
def test_a_run_in_this_process_is_composed_once(words, small, monkeypatch, tmp_path):
    """The server's door takes what the command has composed, and no other composing gives more."""
    monkeypatch.chdir(tmp_path)
    begun: list[tuple[dict[str, Any], Config]] = []

    def door(app, run_config, *_):
        with monkeypatch.context() as patch:
            patch.setattr("fedvlm_flwr.process.compose", lambda _: pytest.fail("composed again"))
            begun.append((dict(run_config), this_process().compose(run_config)))

    monkeypatch.setattr("fedvlm_flwr.cli.run.run_app", door)
    assert main(["run", *small, *words]) == 0
    ((run_config, config),) = begun
    assert config == compose(run_config)


def test_more_clients_than_pictures_are_refused_before_an_engine_starts(small, capsys, monkeypatch):
    monkeypatch.setattr("fedvlm_flwr.cli.run.run_app", lambda *_: pytest.fail("it was started"))
    began = time.monotonic()
    for number in (100_000, 10**30):
        assert main(["run", *small, f"num_clients={number}"]) == 1
        assert capsys.readouterr().err.startswith(f"error: num_clients={number} ")
    assert time.monotonic() - began < 10


def test_a_failed_run_says_why_in_one_sentence_and_exits_1(small, capsys):
    assert main(["run", *small, "num_clients=25"]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert error[0].startswith("error: num_clients=25 but")


def test_an_unknown_key_exits_1_before_anything_starts(capsys):
    assert main(["run", "num_round=3"]) == 1
    assert "error: Unknown key 'num_round'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["settings=null"], "Config group override must be a string or a list"),
        (["algorithm=fedprx"], "Unknown algorithm 'fedprx'; choose one of: central, "),
        (["-m", "seed=0", "--cfg", "job"], "--cfg and --info show one run; leave out -m."),
        (["seed=0,1", "--info", "all"], "--cfg and --info show one run; give seed one value."),
    ],
)
def test_what_hydra_cannot_compose_is_a_sentence(words, sentence, capsys):
    assert main(["run", *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and sentence in error and "Traceback" not in error


@pytest.mark.parametrize(
    "words",
    [
        ["--cfg", "job", "algorithm=fedadam"],
        ["algorithm=fedadam", "--cfg", "job"],
        ["algorithm=fedadam", "-c=job"],
        ["experiment=algorithms", "algorithm=fedadam", "--cfg=job"],
    ],
)
def test_a_configuration_is_shown_wherever_the_flag_stands(words, capsys):
    assert main(["run", *words]) == 0
    assert "name: fedadam" in capsys.readouterr().out


def test_a_misspelt_choice_of_a_sweep_leaves_nothing(tmp_path, capsys):
    words = ["-m", "algorithm=fedprx,fedavg", f"output_dir={tmp_path}"]
    assert main(["run", *words]) == 1
    assert "the same command goes on" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_contradiction_exits_1(small, capsys):
    assert main(["run", *small, "train.local_epochs=1"]) == 1
    assert "train.local_epochs=1 and train.local_steps=3" in capsys.readouterr().err


def test_a_sweep_runs_every_job_and_tells_by_its_status_that_one_failed(small, capsys):
    status = main(
        ["run", "-m", *small, "num_rounds=1", "num_clients=2,25,3", "eval.shuffled=false"]
    )
    captured = capsys.readouterr()
    assert status == 1
    assert "error: num_clients=25 but" in captured.err
    assert "1 runs failed: " in captured.err and "num_clients=25" in captured.err.splitlines()[-1]
    folders = run_folders(captured.out)
    assert len(folders) == 2 and len({folder.parent for folder in folders}) == 1
    clients = [
        line["value"]
        for folder in folders
        for line in RunFolder(folder).lines(METRICS)
        if line["where"] == "server" and line["metric"] == "clients"
    ]
    assert clients == [2, 3]


def test_prepare_is_quick_when_there_is_nothing_to_do(small, capsys):
    assert main(["prepare", *small]) == 0
    text = capsys.readouterr().out
    assert "dataset easyvqa: 339 training and 163 test records" in text
    assert re.search(r"model tiny_llava: /\S+/models/shipped/tiny_llava-\w+ ", text)


def test_doctor_finds_this_machine_fit(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "FAIL" not in text
    assert re.search(r"^ok +flwr 1\.", text, re.M)
    assert re.search(r"CPU cores", text)


def test_doctor_fails_where_the_cache_cannot_be_written(capsys, monkeypatch, tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    monkeypatch.setenv("FEDVLM_HOME", str(occupied / "home"))
    assert main(["doctor"]) == 1
    assert "set FEDVLM_HOME" in capsys.readouterr().out


def test_a_models_folder_is_found_from_other_folders_too(tmp_path, monkeypatch):
    from fedvlm_flwr.cli.run import from_anywhere

    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    kinds = {"model": "llava"}
    assert from_anywhere("model.llm=weights", kinds) == f"model.llm='{tmp_path}/weights'"
    long = "model.template=" + "a" * 5000
    others = ("model.llm=org/name", "model.llm=", "tuning=weights", "model.checkpoint=null", long)
    for word in others:
        assert from_anywhere(word, kinds) == word
