"""Modules of somebody's own, outside the package: the worked examples of CONTRIBUTING.md."""

from pathlib import Path

import pytest

import strategies
from fedvlm_flwr import handshake, tasks
from fedvlm_flwr.bundle import app_folder
from fedvlm_flwr.cli import main, usage
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.sweeps.place import is_sweep
from strategies import algorithm_class
from tests.printed import printed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a blank and a comma in its name, which Hydra's grammar gives a meaning to."""
    folder = tmp_path / "my, own"
    for name, text in printed().items():
        if not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("FEDVLM_PLUGINS", str(folder))
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_what_is_there_is_chosen_by_its_name(plugins, monkeypatch):
    config = compose({"overrides": "algorithm=fedstep algorithm.eta=0.25"})
    assert algorithm_class(config.algorithm.kind).__module__ == "strategies.fedstep"
    assert config.algorithm.params.eta == 0.25
    with pytest.raises(ConfigError, match="eta"):
        compose({"overrides": "algorithm=fedstep algorithm.eta=0"})
    assert "counting" in tasks.task_names()
    write(
        plugins / "conf" / "experiment" / "mine.yaml", "hydra: {sweeper: {params: {seed: '0,1'}}}"
    )
    assert is_sweep(["experiment=mine"])
    monkeypatch.delenv("FEDVLM_PLUGINS")
    with pytest.raises(ConfigError, match="Unknown algorithm 'fedstep'"):
        compose({"overrides": "algorithm=fedstep"})


def test_a_command_of_ones_own_is_listed_and_runs(plugins, capsys):
    write(plugins / "fedvlm_flwr" / "cli" / "hello.py", HELLO)
    assert "  hello      Say hello." in usage()
    assert main(["hello", "you"]) == 3
    assert capsys.readouterr().out == "hello you\n"


HELLO = '''"""Say hello."""


def main(arguments):
    print("hello", *arguments)
    return 3
'''


def test_the_app_that_is_sent_has_it_too(plugins):
    """As on real sites, whose processes know nothing of the folder."""
    with app_folder() as app:
        assert (app / "strategies" / "fedstep.py").read_text() == (
            plugins / "strategies" / "fedstep.py"
        ).read_text()
        assert (app / "conf" / "algorithm" / "fedstep.yaml").is_file()
        assert (app / "conf" / "config.yaml").is_file() and (app / "pyproject.toml").is_file()


def test_sites_are_told_apart_by_it(plugins, monkeypatch):
    with_plugins = handshake.source()
    monkeypatch.delenv("FEDVLM_PLUGINS")
    assert with_plugins != handshake.source()


@pytest.mark.parametrize("name", ["strategies/fedavg.py", "conf/algorithm/fedavg.yaml"])
def test_nothing_of_the_package_is_replaced(name, plugins):
    write(plugins / name, "name: fedavg")
    with pytest.raises(ConfigError, match=f"{name} has the name of a file of fedvlm_flwr"):
        compose({})
    write(plugins / name, (ROOT / name).read_text())  # as in an app's bundle
    assert compose({}).algorithm.name == "fedavg"


def test_a_folder_that_is_none_is_named(plugins, monkeypatch, capsys):
    monkeypatch.setenv("FEDVLM_PLUGINS", str(plugins / "nowhere"))
    assert main(["run"]) == 2
    assert "nowhere is no folder; make it, or unset FEDVLM_PLUGINS" in capsys.readouterr().err
    monkeypatch.setenv("FEDVLM_PLUGINS", str(ROOT))
    with pytest.raises(ConfigError, match="is the package's own folder"):
        strategies.algorithm_class("fedavg")
