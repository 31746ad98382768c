"""What the SuperLink engine refuses before anything starts; its runs are in tests/deployment."""

import socket
from pathlib import Path

import pytest

from fedvlm_flwr.cli import main

CONFIG = """
[superlink]
default = "local"
[superlink.local]
address = ":local:"
[superlink.hospital]
address = "127.0.0.1:{port}"
insecure = true
"""


@pytest.fixture(autouse=True)
def flower(tmp_path: Path, monkeypatch) -> Path:
    """The user's Flower, which knows a SuperLink that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path / "flwr" / "config.toml"
    path.parent.mkdir()
    path.write_text(CONFIG.format(port=port))
    monkeypatch.setenv("FLWR_HOME", str(path.parent))
    return path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "engine=superlink needs engine.connection=NAME"),
        (
            ["engine.connection=nowhere"],
            "has no [superlink.nowhere] with the address of a SuperLink (there are: hospital)",
        ),
        (["engine.connection=local"], "has no [superlink.local]"),
        (["engine.connection=hospital"], "could not be started at engine.connection=hospital"),
        (["engine=inprocess", "engine.connection=hospital"], "engine=inprocess does not use"),
    ],
)
def test_is_refused(words, sentence, tmp_path, capsys) -> None:
    place = [f"output_dir={tmp_path}", "run_name=run"]
    own = [] if words[:1] == ["engine=inprocess"] else ["engine=superlink"]
    assert main(["run", "experiment=smoke", *own, *words, *place]) == 1
    error = capsys.readouterr().err
    assert sentence in error and error.startswith("error: ")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_damaged_config_is_named(flower, tmp_path, capsys) -> None:
    flower.write_text("[superlink")
    words = ["engine=superlink", "engine.connection=hospital", f"output_dir={tmp_path}"]
    assert main(["run", "experiment=smoke", *words]) == 1
    assert f"{flower} cannot be read" in capsys.readouterr().err


def test_a_folder_of_another_engine_is_not_resumed_there(tmp_path, capsys) -> None:
    (tmp_path / "config.yaml").write_text("{}\n")
    (tmp_path / "run_config.json").write_text("{}\n")
    words = ["engine=superlink", "engine.connection=hospital", f"resume={tmp_path}"]
    assert main(["run", "experiment=smoke", *words]) == 1
    assert "holds no run of a SuperLink" in capsys.readouterr().err
