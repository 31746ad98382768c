"""Counts of parts and bytes, against reference figures and against real records."""

from dataclasses import replace

import pytest
import torch
from flwr.app import RecordDict

from fedvlm_flwr.config import compose
from fedvlm_flwr.errors import ModelError
from fedvlm_flwr.messages.wire import pack, packed_bytes, payload_bytes
from fedvlm_flwr.models.llava.connectors import Connector
from fedvlm_flwr.models.parts import read, set_trainable
from fedvlm_flwr.planning.counting import (
    PartCount,
    adapted_skeleton,
    count_parts,
    trained_shapes,
)
from fedvlm_flwr.process import this_process


def config_of(*overrides):
    return compose({"overrides": " ".join(overrides)})


@pytest.fixture(scope="module")
def llama():
    config = config_of("model=llava_clip_llama32_3b", "tuning=share_lora")
    return config, adapted_skeleton(config)


def test_llama_with_adapters_of_rank_8_has_the_references_numbers(llama):
    config, skeleton = llama
    trained = trained_shapes(skeleton, config.tuning.stages[0])
    shared = [name for name in trained if name.startswith("llm.")]
    assert count_parts(skeleton, trained, shared) == [
        PartCount("vision", 87_456_000, 0, 0),
        PartCount("connector", 11_802_624, 11_802_624, 0),  # 768 * 3072 + 3072 + 3072 ** 2 + 3072
        PartCount("llm", 3_212_749_824 + 12_156_928, 12_156_928, 12_156_928),
        PartCount("outside", 0, 0, 0),  # the head is the embedding table
    ]


def test_a_skeleton_holds_no_numbers(llama):
    _, skeleton = llama
    assert {tensor.device.type for tensor in skeleton.module.state_dict().values()} == {"meta"}


def test_adapters_are_float32_in_a_bfloat16_model(llama):
    config, skeleton = llama
    trained = set_trainable(skeleton, config.tuning.stages[0]).values()
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    frozen = [p for p in skeleton.module.parameters() if not p.requires_grad]
    assert {parameter.dtype for parameter in frozen} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("linear", 2_362_368), ("mlp2x_gelu", 11_802_624), ("mlp6x_gelu", 49_563_648)],
)
def test_connectors_have_the_references_numbers(name, numbers):
    with torch.device("meta"):
        connector = Connector(name, 768, 3072)
    assert sum(parameter.numel() for parameter in connector.parameters()) == numbers


@pytest.mark.parametrize(
    ("tuning", "dtype"), [("f_cl", "bfloat16"), ("full_connector_llm", "float32")]
)
def test_bytes_are_those_of_the_real_record(small, tuning, dtype):
    config = config_of(*small, f"tuning={tuning}")
    (stage,) = config.tuning.stages
    told = trained_shapes(adapted_skeleton(config), stage)
    arrays = read(set_trainable(this_process().model(config, torch.device("cpu")).vlm, stage))
    assert told == {name: values.shape for name, values in arrays.items()}
    record = RecordDict({"arrays": pack(arrays, dtype)})
    assert packed_bytes(told, dtype) == payload_bytes(record)


def test_a_head_of_its_own_lies_outside_the_parts(small):
    config = config_of(*small)
    skeleton = adapted_skeleton(config)
    counts = {c.part: c.total for c in count_parts(skeleton, {}, [])}
    head = skeleton.module.get_submodule("lm_head")
    assert counts["outside"] == sum(p.numel() for p in head.parameters()) > 0
    assert sum(counts.values()) == sum(p.numel() for p in skeleton.module.parameters())


def test_a_part_that_is_not_there_cannot_be_counted(llama):
    config, skeleton = llama
    parts = {part: path for part, path in skeleton.parts.items() if part != "connector"}
    with pytest.raises(ModelError, match="no part 'connector'"):
        trained_shapes(replace(skeleton, parts=parts), config.tuning.stages[0])


def test_a_connector_inside_the_vision_tower_is_counted_as_connector(hf_checkpoint):
    source = hf_checkpoint("qwen2_5_vl")
    config = config_of("model=hf_vlm", f"model.checkpoint={source}", "tuning=f_c")
    skeleton = adapted_skeleton(config)
    trained = trained_shapes(skeleton, config.tuning.stages[0])
    counts = {count.part: count for count in count_parts(skeleton, trained, trained)}
    assert counts["connector"].total == counts["connector"].trained > 0
    assert counts["vision"].total > 0
    whole = sum(parameter.numel() for parameter in skeleton.module.parameters())
    assert sum(count.total for count in counts.values()) == whole
