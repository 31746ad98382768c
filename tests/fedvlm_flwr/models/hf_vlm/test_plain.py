"""Every family, merged and written, is read again as it was, with all of its own files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fedvlm_flwr.config import Lora, Stage
from fedvlm_flwr.models import load_model, plain_form
from fedvlm_flwr.models.parts import add_lora, set_trainable
from fedvlm_flwr.takehome.merging import merge
from tests import choices
from tests.hf_tiny import FAMILIES

PARAMS = {"dtype": "float32", "quantize": None, "attention": "auto", "max_text_tokens": 200}
CPU = torch.device("cpu")


def load(folder: Path):
    return load_model(choices.model("mine", "hf_vlm", {**PARAMS, "checkpoint": str(folder)}), CPU)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_model_answers_as_with_its_adapter(
    family: str, hf_checkpoint: Callable[[str], Path], pictures: list[Path], tmp_path: Path
) -> None:
    source = hf_checkpoint(family)
    model, form = load(source), plain_form("hf_vlm")
    add_lora(model, Lora(r=2, alpha=4, dropout=0.0, targets=None), seed=0)
    parameters = set_trainable(model, Stage({"llm": "lora"}))
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(2))
    features, question = model.features(pictures[:1]), [model.encode("what color?")]
    answer = model.answers(features, question, 5)
    assert form is not None and form.reason_against(model) == ""
    merge(model, {}, torch.float32)
    out = tmp_path / "out"
    out.mkdir()
    form.save(model, out)
    again = load(out)
    assert again.answers(again.features(pictures[:1]), [again.encode("what color?")], 5) == answer
    assert {path.name for path in out.iterdir()} == {path.name for path in source.iterdir()}
