"""Models made once: the same from the same seed, verified when read, refused when broken."""

import json
import threading

import pytest
import torch

from fedvlm_flwr.errors import ConfigError, ModelError
from fedvlm_flwr.models import load_model, model_skeleton, prepare_model
from fedvlm_flwr.models.weights.prepared import prepare
from tests import choices

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_weights(cheap, cheap_once):
    one = weights(cheap_once)
    torch.manual_seed(99)  # what else drew random numbers before does not matter
    again = prepare_model(choices.model("tiny_llava", "llava", cheap))
    assert again != cheap_once
    two = weights(again)
    assert one == two


def test_prepared_model_loads_and_answers(cheap, pictures):
    steps = []
    folder = prepare_model(
        choices.model("tiny_llava", "llava", cheap), lambda *at: steps.append(at[:2])
    )
    assert steps == [(i, 9) for i in range(1, 10)]
    assert prepare_model(choices.model("tiny_llava", "llava", cheap)) == folder
    model = load_model(choices.model("tiny_llava", "llava", cheap), CPU)
    assert not any(p.requires_grad for p in model.module.parameters())
    assert not model.module.training
    answers = model.generate(model.features(pictures[:1]), [model.encode("what is it?")], 4)
    assert len(answers) == 1
    again = load_model(choices.model("tiny_llava", "llava", cheap), CPU)
    assert again.fingerprint == model.fingerprint
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["recipe"]["tiny"]["pretrain"]["seed"] == cheap["tiny"]["pretrain"]["seed"]


def test_unprepared_model_says_what_to_run(cheap):
    with pytest.raises(ModelError, match="run `fedvlm prepare`"):
        load_model(choices.model("tiny_llava", "llava", cheap), CPU)


@pytest.mark.parametrize("harm", ["corrupt", "missing", "manifest"])
def test_a_broken_file_is_named_with_its_mending(cheap, cheap_folder, harm):
    path = cheap_folder / ("manifest.json" if harm == "manifest" else "model.safetensors")
    if harm == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[0 if harm == "manifest" else -1] ^= 1
        path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"{path.name}.*delete .* and run `fedvlm prepare`"):
        load_model(choices.model("tiny_llava", "llava", cheap), CPU)


def test_two_at_once_build_once():
    built = []

    def build(folder):
        built.append(folder)
        (folder / "file").write_text("content")

    threads = [threading.Thread(target=prepare, args=("m", {"a": 1}, build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_a_failed_build_leaves_nothing(home):
    def build(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        prepare("m", {}, build)
    assert [p.name for p in (home / "models").iterdir() if p.is_dir()] == []


def test_another_recipe_is_another_folder(cheap, cheap_folder):
    assert prepare_model(choices.model("tiny_llava", "llava", cheap)) == cheap_folder
    cheap["tiny"]["pretrain"]["seed"] += 1
    assert prepare_model(choices.model("tiny_llava", "llava", cheap)) != cheap_folder


def test_unknown_kind_key_and_contradiction_are_refused(cheap):
    with pytest.raises(ConfigError, match="Unknown model kind 'lava'"):
        load_model(choices.model("tiny_llava", "lava", cheap), CPU)
    with pytest.raises(ConfigError, match="checkpoint"):
        load_model(choices.model("tiny_llava", "llava", {**cheap, "checkpoint": "there"}), CPU)
    with pytest.raises(ConfigError, match=r"model\.colour"):
        load_model(choices.model("tiny_llava", "llava", {**cheap, "colour": 1}), CPU)


def test_a_folder_that_is_no_model_is_named(cheap, tmp_path):
    params = {**cheap, "tiny": None, "checkpoint": str(tmp_path)}
    choice = choices.model("real", "llava", params)
    for reads in (prepare_model, model_skeleton, lambda model: load_model(model, CPU)):
        with pytest.raises(ModelError, match=str(tmp_path)):
            reads(choice)
