"""The table of families holds against the networks it describes."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForImageTextToText

from fedvlm_flwr.cli import main
from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.models import model_skeleton, prepare_model
from fedvlm_flwr.models.hf_vlm.families import FAMILIES, REFUSED, family_of
from tests import hf_tiny


def network(family, hf_checkpoint):
    config = AutoConfig.from_pretrained(hf_checkpoint(family))
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


@pytest.mark.parametrize("name", hf_tiny.FAMILIES)
def test_parts_lie_where_the_table_says_and_hold_all_but_head_and_newlines(name, hf_checkpoint):
    module = network(name, hf_checkpoint)
    family = family_of(name, module.config)
    named = [module.get_submodule(path) for path in family.parts.values()]
    inside = {id(parameter) for part in named for parameter in part.parameters()}
    outside = {n for n, p in module.named_parameters() if id(p) not in inside}
    assert outside <= {"lm_head.weight", "model.image_newline"}
    llm = {id(p) for p in module.get_submodule(family.llm).parameters()}
    connector = {id(p) for p in module.get_submodule(family.connector).parameters()}
    assert connector and llm and not connector & llm
    assert module.get_submodule(family.llm).get_input_embeddings() is module.get_input_embeddings()


def test_every_family_is_tested_by_a_tiny_checkpoint(hf_checkpoint):
    tested = {AutoConfig.from_pretrained(hf_checkpoint(f)).model_type for f in hf_tiny.FAMILIES}
    assert tested == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_processor_is_one_of_transformers_and_gives_what_the_table_lists(name):
    assert hasattr(transformers, FAMILIES[name].processor)
    assert "pixel_values" in FAMILIES[name].pictures


def test_unknown_family_names_the_known_ones_and_where_to_add_one():
    with pytest.raises(ModelError, match=r"any/model is of the family 'florence2'") as told:
        family_of("any/model", SimpleNamespace(model_type="florence2"))
    assert all(name in str(told.value) for name in FAMILIES)
    assert "fedvlm_flwr/models/hf_vlm/families.py" in str(told.value)


@pytest.mark.parametrize("name", REFUSED)
def test_families_that_need_torchvision_are_refused_with_the_reason(name, tmp_path, capsys):
    config = {"model_type": name, "text_config": {}, "vision_config": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    choice = compose({"overrides": f"model=hf_vlm model.checkpoint={tmp_path}"}).model
    reason = f"'{name}', which this version cannot train: its .*torchvision.*; use .*mllama"
    for reads in (prepare_model, model_skeleton):
        with pytest.raises(ModelError, match=reason):
            reads(choice)
    assert main(["params", "model=hf_vlm", f"model.checkpoint={tmp_path}"]) == 1
    assert REFUSED[name] in capsys.readouterr().err
