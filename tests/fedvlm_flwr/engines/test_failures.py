"""What can go wrong in a run: one clear sentence, and finished rounds stay on disk."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import easy_vqa
import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client_app.app import query, train
from fedvlm_flwr.config import compose
from fedvlm_flwr.data.load import load_data
from fedvlm_flwr.errors import ConfigError, FedVLMError, ModelError, RunError
from fedvlm_flwr.messages import TrainRequest
from fedvlm_flwr.models.llava.kind import recipe
from fedvlm_flwr.models.weights.prepared import prepared_folder, write_manifest
from fedvlm_flwr.plugins import available
from fedvlm_flwr.run_folder import METRICS, PROGRESS

failing = ClientApp()  # the real client but for client 1, which raises from the second round on
failing.query()(query)


@failing.train()
def fail_later(message: Message, context: Context) -> Message:
    request = TrainRequest.unpack(message.content)
    if request.client == 1 and request.round >= 2:
        raise RuntimeError("the disk is on fire")
    return train(message, context)


HERE = "failing_client:failing"


@pytest.fixture
def client(monkeypatch):
    """The reference under which the engine finds the app above."""
    monkeypatch.setitem(sys.modules, "failing_client", sys.modules[__name__])
    return HERE


def test_a_client_that_raises_ends_the_run_and_is_named_and_its_finished_rounds_stay(start, client):
    with pytest.raises(RunError, match="Round 2 got 2 good replies and needs 3") as caught:
        start("num_rounds=3", client=client, name="burnt")
    assert "client 1" in str(caught.value) and "the disk is on fire" in str(caught.value)


def test_with_fewer_replies_needed_the_run_goes_on_without_it(start, client):
    folder = start("min_replies=2", "num_rounds=2", client=client)
    lines = list(folder.lines(METRICS))
    reasons = [line for line in lines if line["metric"] == "failure"]
    assert [(line["round"], line["where"]) for line in reasons] == [(2, "client:1")]
    assert "the disk is on fire" in reasons[0]["value"]
    counted = {
        line["round"]: line["value"]
        for line in lines
        if line["where"] == "server" and line["metric"] == "clients"
    }
    assert counted == {1: 3, 2: 2}


def test_finished_rounds_are_on_disk_after_a_failure(start, client, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    with pytest.raises(RunError):
        start("num_rounds=3", client=client, name="kept")
    (folder,) = base.glob("runs[0-9]*/kept")
    rounds = sorted(name.name for name in (folder / "checkpoints").iterdir())
    assert rounds == [f"stage_0_round_000{number}.safetensors" for number in (0, 1)]
    assert '"round": 1' in (folder / METRICS).read_text()
    assert '"event": "error"' in (folder / PROGRESS).read_text()
    assert (folder / "cost.json").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["num_clients=25"], ["num_clients=25", "24 pictures"]),
        (["partition=dirichlet", "partition.alpha=0"], ["alpha", "0"]),
        (["partition=dirichlet", "partition.alpha=-1"], ["alpha", "-1"]),
        (["+algorithm.mu=1"], ["algorithm.mu"]),
        (["dataset.tasks=[vqa,poetry]"], ["poetry", "vqa"]),
        (["engine.device=cuda"], ["cuda"]),
        (["model.template=hello"], ["template"]),
    ],
)
def test_bad_values_are_refused_before_anything_is_trained(start, overrides, words):
    if "engine.device=cuda" in overrides:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("this machine has a CUDA device")
    with pytest.raises(FedVLMError) as caught:
        start(*overrides)
    text = str(caught.value)
    assert all(word in text for word in words)
    assert "\n" not in text


def test_an_occupied_run_folder_is_refused(start, small, app, tmp_path):
    from fedvlm_flwr.engines import run_app

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("old: run\n")
    run_config = {"overrides": " ".join(small), "output-dir": str(tmp_path), "run-name": "run"}
    with pytest.raises(RunError, match="already holds a run"):
        run_app(app, run_config, compose(run_config).engine, 3, tmp_path / "log")
    assert (tmp_path / "run" / "config.yaml").read_text() == "old: run\n"


def test_a_corrupt_base_model_is_named_with_how_to_mend_it(start, small):
    overrides = "model.tiny.pretrain.seed=77"
    choice = compose({"overrides": " ".join([*small, overrides])}).model
    folder = prepared_folder("tiny_llava", recipe(choice.params))
    folder.mkdir(parents=True)
    weights = folder / "model.safetensors"
    weights.write_bytes(bytes(200))
    write_manifest(folder, recipe(choice.params), 0.0)
    weights.write_bytes(bytes(100))
    with pytest.raises(ModelError, match=r"model\.safetensors.*fedvlm prepare"):
        start(overrides)


def test_an_unknown_engine_is_refused(start):
    known = ", ".join(available("fedvlm_flwr.engines"))
    with pytest.raises(ConfigError, match=rf"choose one of: {known}\."):
        start("engine.name=carrier_pigeon")


def test_an_unreadable_picture_is_named_with_its_client(start, small, tmp_path):
    """The tables are cached already, so that it is a client who meets the broken picture."""
    load_data(compose({"overrides": " ".join(small)}).dataset)
    package = tmp_path / "site" / "easy_vqa"
    shutil.copytree(Path(easy_vqa.__file__).parent, package)
    picture = package / "data" / "train" / "images" / "2003.png"
    content = picture.read_bytes()
    picture.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("fedvlm")), "run", *small],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"^error: .*client \d: .*/2003\.png .*cannot be read", done.stderr, re.M)
