"""Every family, merged and written, has the form of its checkpoint and all of its files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedvlm_flwr.config import Lora, Stage
from fedvlm_flwr.models import load_model, plain_form
from fedvlm_flwr.models.parts import add_lora, set_trainable
from fedvlm_flwr.takehome.merging import merge
from tests import choices
from tests.hf_tiny import FAMILIES

PARAMS = {"dtype": "float32", "quantize": None, "attention": "auto", "max_text_tokens": 200}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_model_answers_as_with_its_adapter_and_has_its_files_form(
    family: str, hf_checkpoint: Callable[[str], Path], pictures: list[Path], tmp_path: Path
) -> None:
    source, form = hf_checkpoint(family), plain_form("hf_vlm")
    params = {**PARAMS, "checkpoint": str(source)}
    model = load_model(choices.model("mine", "hf_vlm", params), torch.device("cpu"))
    add_lora(model, Lora(r=2, alpha=4, dropout=0.0, targets=None), seed=0)
    parameters = set_trainable(model, Stage({"llm": "lora"}))
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(2))
    features, question = model.features(pictures[:1]), [model.encode("what color?")]
    answer = model.answers(features, question, 3)
    merge(model, {}, torch.float32)
    assert model.answers(features, question, 3) == answer
    out = tmp_path / "out"
    out.mkdir()
    assert form is not None and form.reason_against(model) == ""
    form.save(model, out)
    assert {path.name for path in out.iterdir()} == {path.name for path in source.iterdir()}
    before, after = (load_file(folder / "model.safetensors") for folder in (source, out))
    assert {n: v.shape for n, v in before.items()} == {n: v.shape for n, v in after.items()}
    changed = {name for name, values in before.items() if not torch.equal(values, after[name])}
    adapted = {name.rpartition(".")[0] for name in parameters}
    assert len(changed) == len(adapted), "what was not adapted is as it was"
