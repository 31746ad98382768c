"""A federation that trains a connector from its start on."""

import shlex

import pytest
from safetensors.numpy import load_file

from client_app.worker import Worker
from fedvlm_flwr.config import compose
from fedvlm_flwr.engines import run_app
from fedvlm_flwr.errors import ConfigError, FedVLMError, ModelError
from fedvlm_flwr.run_folder import METRICS, RunFolder
from server_app.saved import read_checkpoint

LINEAR = (
    "model.connector=linear",
    "tuning=f_cl",
    "num_clients=2",
    "train.local_steps=2",
    "dataset.tasks=[vqa]",
    "dataset.train_pictures=4",
    "dataset.test_pictures=2",
    "eval.shuffled=false",
)


def losses(folder: RunFolder) -> list[float]:
    return [line["value"] for line in folder.lines(METRICS) if line["metric"] == "loss"]


def test_resumed_equals_uninterrupted_and_what_is_saved_is_its_own(
    start, small, app, tmp_path, monkeypatch
):
    whole = start(*LINEAR)
    train, count = Worker.train, 0

    def breaks(*arguments):
        nonlocal count
        count += 1
        if count > 2:  # from the second round on
            raise ModelError("broken")
        return train(*arguments)

    overrides = shlex.join([*small, *LINEAR])
    engine, folder = compose({"overrides": overrides}).engine, RunFolder(tmp_path / "run")
    place = {"output-dir": str(tmp_path), "run-name": "run"}
    monkeypatch.setattr(Worker, "train", breaks)
    folder.path.mkdir()
    with pytest.raises(FedVLMError):
        run_app(app, {"overrides": overrides, **place}, engine, 2, tmp_path / "log")
    monkeypatch.setattr(Worker, "train", train)
    run_app(app, {"overrides": overrides, "resume": str(folder.path)}, engine, 2, tmp_path / "log")
    assert losses(folder) == losses(whole) != []
    result = read_checkpoint(whole).state.arrays
    saved = load_file(whole.path / "adapter" / "connector.safetensors")
    assert {name: values.shape for name, values in saved.items()} == {
        "0.weight": (128, 128),
        "0.bias": (128,),
    }
    for name, values in read_checkpoint(folder).state.arrays.items():
        assert values.tobytes() == result[name].tobytes()
    for name, values in saved.items():
        assert values.tobytes() == result[f"connector.{name}"].tobytes()


def test_what_never_trains_it_is_refused(start):
    with pytest.raises(ConfigError, match=r"connector of model=tiny_llava starts random .*f_l "):
        start(*LINEAR, "tuning=f_l")
