"""Where a sweep's runs lie."""

from pathlib import Path

import pytest

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.sweeps.place import (
    file_name,
    is_sweep,
    job_name,
    parent_of,
    single_keys,
    sweep_name,
    swept_keys,
)

WORDS = ["algorithm=fedavg,scaffold", "num_rounds=2", "seed=range(3)"]


def test_what_has_several_values_is_told_from_what_has_one():
    assert swept_keys([*WORDS, "tuning.lora.rank_of=[2,4]"]) == ["algorithm", "seed"]
    assert single_keys([*WORDS, "tuning.lora.rank_of=[2,4]"]) == [
        "num_rounds",
        "tuning.lora.rank_of",
    ]
    with pytest.raises(ConfigError, match=r"seed|token|input"):
        swept_keys(["seed=[1"])


def test_a_command_has_one_name_in_any_order_and_at_any_place():
    name = sweep_name(WORDS)
    assert name == sweep_name([*reversed(WORDS), "output_dir=/x"])
    assert name.rpartition("-")[0] == "algorithm-seed"
    assert name != sweep_name([*WORDS, "train.lr=1"])


def test_experiments_that_are_sweeps_are_known():
    assert is_sweep(["experiment=tasks_apart"])
    assert not is_sweep(["experiment=smoke"]) and not is_sweep(["experiment=nope"])
    assert not is_sweep([])
    assert sweep_name(["experiment=tasks_apart"]).startswith("tasks_apart-")


def test_runs_go_where_the_words_or_the_environment_say(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDVLM_RUNS", str(tmp_path / "e"))
    assert parent_of(["seed=1", "output_dir=null"]) == tmp_path / "e"
    assert parent_of([f"output_dir='{tmp_path}/a b'"]) == tmp_path / "a b"
    monkeypatch.delenv("FEDVLM_RUNS")
    monkeypatch.chdir(tmp_path)
    assert parent_of([]) == tmp_path / "runs"
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    Path(tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match="is gone; change to another, or set FEDVLM_RUNS"):
        parent_of([])


def test_names_are_names_of_files():
    assert job_name(7, "seed=1") == "007-seed=1" and job_name(7, "") == "007"
    assert file_name("a/b c'd") == "a_b_c_d"
    assert len(file_name("ü" * 300).encode()) <= 100
