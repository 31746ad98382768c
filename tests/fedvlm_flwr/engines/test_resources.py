"""What a client is to be given is looked for before anything starts."""

import time

import pytest

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.engines.actors import resources
from fedvlm_flwr.engines.actors.resources import require_resources
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.processes import free_port


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("engine.cpus_per_client=1024", ["=1024, but this machine has", "CPU cores; set it to"]),
        ("engine.gpus_per_client=3", ["=3, but there are 2 GPUs", "set it to at most 2, or"]),
        ("engine.gpus_per_client=1.5", ["=1.5 is more than one GPU and no whole number"]),
    ],
)
def test_more_than_there_is_is_refused_at_once(small, tmp_path, capsys, monkeypatch, word, words):
    monkeypatch.setattr(resources, "num_gpus", lambda: 2)
    place = [f"output_dir={tmp_path}", "run_name=run"]
    began = time.monotonic()
    assert main(["run", *small, "engine=ray", word, *place]) == 1
    assert time.monotonic() - began < 10
    error = capsys.readouterr().err
    assert error.startswith("error: engine.") and "Traceback" not in error
    assert all(text in error for text in words), error
    assert not (tmp_path / "run" / "engine.log").exists()


def test_without_a_gpu_the_cure_is_none(monkeypatch):
    monkeypatch.setattr(resources, "num_gpus", lambda: 0)
    engine = compose({"overrides": "engine.gpus_per_client=0.25"}).engine
    with pytest.raises(ConfigError, match=r"=0.25, but there are 0 GPUs .* set it to 0 to run"):
        require_resources(engine)


def test_a_cluster_that_is_not_there_is_waited_for_no_longer_than_stated(small, tmp_path, capsys):
    address = f"127.0.0.1:{free_port()}"
    words = [f"engine.address={address}", "engine.address_timeout=3", f"output_dir={tmp_path}"]
    began = time.monotonic()
    assert main(["run", *small, "engine=ray", *words]) == 1
    assert 3 <= time.monotonic() - began < 15
    told = capsys.readouterr()
    assert f"using the Ray cluster at {address}" in told.out
    assert f"error: No Ray cluster answers at engine.address={address} within" in told.err


def test_the_engine_in_this_process_takes_no_cluster(small, tmp_path, capsys):
    words = ["engine=inprocess", 'engine.address="a:1"', f"output_dir={tmp_path}"]
    assert main(["run", *small, *words]) == 1
    assert "engine=inprocess does not use" in capsys.readouterr().err
