"""What a dry run counts: by hand, on real tensors, and as lengths and settings change."""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, LlamaModel
from transformers.models.mllama.configuration_mllama import MllamaTextConfig
from transformers.models.mllama.modeling_mllama import MllamaTextModel

from fedvlm_flwr.planning.batch import Batch
from fedvlm_flwr.planning.dry_run import dry_run_answering, dry_run_training
from fedvlm_flwr.planning.live_bytes import LiveBytes, SavedTensors

BATCH = Batch(rows=3, length=20, labeled=4, masked=False)


def network(device="meta", attention="sdpa", layers=2) -> LlamaModel:
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        vocab_size=50,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation=attention,
    )
    with torch.device(device):
        llm = LlamaModel(config)
    targets = ["q_proj", "v_proj", "up_proj", "down_proj"]
    inject_adapter_in_model(LoraConfig(r=2, lora_dropout=0.1, target_modules=targets), llm)
    for name, parameter in llm.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return llm


def train(llm, batch=BATCH, autocast=False, checkpointing=False):
    return dry_run_training(llm, batch, True, autocast, checkpointing)


def test_what_one_hidden_layer_keeps_is_counted_as_by_hand():
    layers = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    activations = SavedTensors(layers.parameters())
    with saved_tensors_hooks(activations.pack, lambda tensor: tensor):
        layers(torch.zeros(3, 4)).sum()
    # The input of either linear layer and of the activation between them, float32.
    assert activations.bytes == 4 * (3 * 4 + 3 * 8 + 3 * 8)


def test_the_peak_is_counted_as_by_hand():
    x = torch.zeros(100)  # 400 bytes, there already
    with LiveBytes([x]) as live:
        a = x + 1
        b = a.view(10, 10)[2:]  # the same storage
        assert live.now == 400
        del a
        c = x * 2 + b.sum()  # the product and the 4 bytes of the sum go when the two are added
        assert (live.now, live.peak) == (800, 400 + 400 + 4 + 400)
        del b
    assert live.now == 400
    del c
    assert live.now == 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_real_tensors_give_the_same_counts(autocast, checkpointing, packed):
    batch = replace(BATCH, packed=packed)
    found = train(network(), batch, autocast, checkpointing)
    real = train(network("cpu"), batch, autocast, checkpointing)
    assert (found.activations, found.logits) == (real.activations, real.logits)
    assert found.working == pytest.approx(real.working, rel=0.05)


def test_packed_rows_are_counted_with_what_is_filled_up_for_attention():
    def grows(batch):
        few, more = (train(network(layers=n), batch) for n in (2, 4))
        return more.activations - few.activations

    padded, packed = (replace(BATCH, packed=packed) for packed in (False, True))
    assert grows(packed) == grows(padded)  # kept is what is filled up, in the rest's place
    assert train(network(), packed).working > train(network(), padded).working


def test_answering_on_real_tensors_gives_the_same_counts():
    batch = replace(BATCH, masked=True)
    found, real = dry_run_answering(network(), batch), dry_run_answering(network("cpu"), batch)
    assert found.cache == real.cache
    assert found.working == pytest.approx(real.working, rel=0.05)


def test_the_cache_is_keys_and_values_of_every_place():
    # 2 layers x keys and values x 3 rows x 2 heads x (20 + 4) places x 8 numbers x 4 bytes
    assert dry_run_answering(network(), BATCH).cache == 2 * 2 * 3 * 2 * 24 * 8 * 4


def test_a_picture_beside_the_sequence_is_cached_once():
    sizes = {"hidden_size": 32, "intermediate_size": 48, "vocab_size": 50, "pad_token_id": 0}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = MllamaTextConfig(
        **sizes, **heads, num_hidden_layers=3, cross_attention_layers=[1], bos_token_id=1
    )
    with torch.device("meta"):
        llm = MllamaTextModel(config)
    batch = replace(BATCH, masked=True, beside=70)
    # keys and values x 3 rows x 2 heads x places x 8 numbers x 4 bytes, in 2 layers and in 1
    assert dry_run_answering(llm, batch).cache == 2 * 3 * 2 * (2 * 24 + 70) * 8 * 4
    few, more = (train(llm, replace(batch, beside=beside)).activations for beside in (70, 140))
    # The states, keys with the norm's and values, and the mask, at least.
    assert more - few > 70 * 4 * 3 * (32 + 2 * 16 + 20)


def test_fused_attention_grows_with_the_length_and_eager_attention_with_its_square():
    longer = replace(BATCH, length=2000)
    longest = replace(BATCH, length=4000)
    ratio = train(network(), longest).activations / train(network(), longer).activations
    assert ratio == pytest.approx(2, rel=0.001)
    eager = [train(network(attention="eager"), batch).activations for batch in (longer, longest)]
    assert eager[1] / eager[0] > 3.5


def test_a_boolean_mask_becomes_numbers_in_each_layer():
    def grows(masked):
        few, more = (train(network(layers=n), replace(BATCH, masked=masked)) for n in (2, 4))
        return more.activations - few.activations

    # Keys and values, which two queries share, are spread to four heads where there is a mask.
    spread = 2 * 3 * (4 - 2) * 20 * 8 * 4
    assert grows(True) - grows(False) == 2 * (3 * 20 * 20 * 4 + spread)


def test_a_mask_of_numbers_counts_once():
    few, more = (train(network(attention="eager", layers=n)) for n in (2, 4))
    most = train(network(attention="eager", layers=6))
    assert most.activations - more.activations == more.activations - few.activations


def test_checkpointing_keeps_less_and_is_off_again_afterwards():
    llm = network(layers=4)
    plain = train(llm)
    assert train(llm, checkpointing=True).activations < plain.activations / 3
    assert train(llm) == plain


def test_gradients_are_not_left_behind():
    llm = network("cpu")
    train(llm)
    assert all(parameter.grad is None for parameter in llm.parameters())
    assert not any(parameter._post_accumulate_grad_hooks for parameter in llm.parameters())


def test_autocast_keeps_less_of_float32_adapters():
    llm = network().to(torch.bfloat16)
    for name, parameter in llm.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    assert train(llm, autocast=True).activations < train(llm).activations
