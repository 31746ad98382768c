"""The frozen vision tower's output, kept, against the tower run at every step, for every family."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedvlm_flwr.config import Lora, Stage
from fedvlm_flwr.images.reading import open_image
from fedvlm_flwr.models import load_model
from fedvlm_flwr.models.features import FeatureCache
from fedvlm_flwr.models.hf_vlm import families
from fedvlm_flwr.models.parts import add_lora, part_module, set_trainable
from tests import choices
from tests.hf_tiny import FAMILIES
from tests.layout import rectangles

PARAMS = {"dtype": "float32", "quantize": None, "attention": "auto", "max_text_tokens": 200}
SIZES = [(64, 64), (90, 40), (30, 70)]
ASKED = [("what color?", "red"), ("where is the shape?", "[0.31, 0.20]"), ("no?", "no shape")]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of other sides, so that families make other numbers of tiles of them."""
    return rectangles(tmp_path_factory.mktemp("pictures"), SIZES)


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_gradient_and_answers_are_those_of_the_tower_run_anew(
    family, hf_checkpoint, paths, tmp_path
):
    params = {**PARAMS, "checkpoint": str(hf_checkpoint(family))}
    model = load_model(choices.model("any", "hf_vlm", params), CPU)
    add_lora(model, Lora(r=2, alpha=4, dropout=0.0, targets=None), seed=0)
    trained = set_trainable(model, Stage(train={"connector": "full", "llm": "lora"}))
    with torch.no_grad():
        for name, parameter in trained.items():
            if name.endswith("lora_B"):
                parameter.fill_(0.01)
    runs, path = [], model.parts["connector"]
    inside = part_module(model, "vision").named_modules(prefix=model.parts["vision"])
    for name, module in inside:
        if name != model.parts["vision"] and not name.startswith(path):
            module.register_forward_hook(lambda *_: runs.append(1))
    whole = [model.inputs.encode_image(open_image(path), torch.float32) for path in paths]
    cache = FeatureCache(model, 10, on_disk=True)
    kept = cache(paths)
    assert not any("pixel_values" in row for row in kept)
    again = FeatureCache(model, 10, on_disk=True)  # from the disk, of another process
    for row, same in zip(again(paths), kept, strict=True):
        assert all(torch.equal(value, same[name]) for name, value in row.items())
    assert again.encoded == 0
    batch = [model.encode(*pair) for pair in ASKED]
    results, counts = [], []
    for features in (whole, kept):
        runs.clear()
        model.module.zero_grad()
        loss = model.loss(features, batch)
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in trained.items()}
        results.append((loss.item(), gradients, model.answers(features, batch, 6)))
        counts.append(len(runs))
    assert counts[0] > 0 == counts[1]
    (loss, gradients, answers), (same, others, repeated) = results
    assert same == pytest.approx(loss, abs=1e-6)
    assert repeated == answers
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_family_whose_outputs_cannot_be_joined_keeps_pixels_and_nothing_on_disk(
    hf_checkpoint, paths, monkeypatch
):
    row = replace(families.FAMILIES["llava"], joined=None)
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, "llava": row})
    params = {**PARAMS, "checkpoint": str(hf_checkpoint("llava"))}
    model = load_model(choices.model("any", "hf_vlm", params), CPU)
    assert not model.keep_features
    features = model.features(paths)
    assert all("pixel_values" in row and "tower" not in str(list(row)) for row in features)
    with torch.no_grad():
        assert model.loss(features, [model.encode(*pair) for pair in ASKED]).isfinite()
