"""Trackers: what they are told, and what is said where one is missing."""

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import available
from fedvlm_flwr.run_folder import RunFolder
from server_app.callbacks.trackers import trackers_of
from server_app.callbacks.trackers.base import numbers_of, scores_of
from strategies.core.events import Callback, Evaluation, Round
from strategies.core.state import ServerState

ACCOUNT = Round(0, 1, [0, 1], loss=0.5, step_ratio=1.0, seconds=2.0, bytes_down=3, bytes_up=4)
SCORES = Evaluation(0, 1, "client:5", "test set", {"vqa": {"accuracy": 0.75}}, 1.0, full=True)


def of(name: str, folder: Path) -> Callback:
    config = compose({"overrides": f"report.trackers=[{name}]"})
    (tracker,) = trackers_of(config, RunFolder(folder))
    return tracker


def tell(tracker: Callback) -> None:
    state = ServerState(Arrays(), Arrays())
    tracker.on_round_end(ACCOUNT, state)
    tracker.on_evaluated(SCORES)
    tracker.on_scored(state)


def test_all_trackers_are_told_the_same() -> None:
    assert numbers_of(ACCOUNT)["train/bytes_up"] == 4
    assert numbers_of(ACCOUNT)["train/step_ratio"] == 1
    assert "train/step_ratio" not in numbers_of(Round(0, 1, []))
    assert scores_of(SCORES) == {"vqa/accuracy/client_5": 0.75}


def test_none_is_made_that_nobody_asks_for(tmp_path: Path) -> None:
    assert trackers_of(compose({}), RunFolder(tmp_path)) == []
    with pytest.raises(ConfigError, match="Unknown tracker 'guess'; choose one of: mlflow, tensor"):
        of("guess", tmp_path)


PACKAGES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow", "wandb": "wandb"}


@pytest.mark.parametrize("name", available("server_app.callbacks.trackers"))
def test_a_missing_package_is_named_with_its_cure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(ConfigError, match=rf'pip install "fedvlm-flwr\[{name}\]", or leave it out'):
        of(name, tmp_path)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No tracker's own variables of the environment."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    yield


def test_mlflow_holds_the_numbers_the_configuration_and_the_end(
    tmp_path: Path, alone: None
) -> None:
    pytest.importorskip("mlflow")
    client_of = importlib.import_module("mlflow").MlflowClient
    tracker = of("mlflow", tmp_path)
    tell(tracker)
    memory = tracker.memory()
    tracker.on_end(False)
    again = of("mlflow", tmp_path)  # a run that goes on
    again.recall(memory)
    again.on_evaluated(SCORES)
    again.on_end(True)
    client = client_of(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs(["1"])
    assert run.info.run_id == memory["run"] and run.info.status == "FAILED"
    assert run.data.metrics["train/loss"] == 0.5
    assert run.data.metrics["vqa/accuracy/client_5"] == 0.75
    assert run.data.params["algorithm.name"] == "fedavg"
    (point, _) = client.get_metric_history(memory["run"], "vqa/accuracy/client_5")
    assert point.step == 1 and math.isclose(point.value, 0.75)


def test_wandb_writes_offline_and_lets_another_run_begin(tmp_path: Path, alone: None) -> None:
    pytest.importorskip("wandb")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tracker = of("wandb", tmp_path / name)
        tell(tracker)
        tracker.on_end(False)
        (file,) = (tmp_path / name / "wandb").glob("offline-run-*/run-*.wandb")
        assert tracker.memory()["id"] in file.name
        assert b"vqa/accuracy/client_5" in file.read_bytes()
