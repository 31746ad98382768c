"""The stand-ins keep for the backward pass what the real operations keep."""

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, LlamaModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from fedvlm_flwr.planning.kernels import COUNTED, counted_kernels, frozen_linears
from fedvlm_flwr.planning.live_bytes import SavedTensors
from fedvlm_flwr.planning.memory import quantized_bytes

MASKS = {
    "no mask": None,
    "boolean": torch.ones(2, 1, 9, 9, dtype=torch.bool).tril(),
    "to be added": torch.zeros(2, 1, 9, 9),
}


def network() -> LlamaModel:
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "vocab_size": 30}
    return LlamaModel(LlamaConfig(**sizes, num_attention_heads=6, num_key_value_heads=2))


def kept_by(work) -> list[object]:
    """Shapes and types of what autograd keeps, and at last the bytes of their storages."""
    activations, shapes = SavedTensors([]), []

    def pack(tensor: Tensor) -> Tensor:
        shapes.append((tuple(tensor.shape), tensor.dtype))
        return activations.pack(tensor)

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return [*sorted(shapes, key=str), activations.bytes]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_keeps_what_sdpa_keeps(mask, groups, autocast):
    layer = nn.Module()
    layer.num_key_value_groups, layer.is_causal = groups, True

    def attend(name):
        heads = (6, 6 // groups, 6 // groups)
        states = [torch.randn(2, count, 9, 8, requires_grad=True) for count in heads]
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out, _ = ALL_ATTENTION_FUNCTIONS[name](layer, *states, MASKS[mask])
        assert out.shape == (2, 9, 6, 8)
        out.sum().backward()
        assert [state.grad.shape for state in states] == [state.shape for state in states]

    assert kept_by(lambda: attend(COUNTED)) == kept_by(lambda: attend("sdpa"))


def test_dropout_keeps_what_the_fused_kernel_keeps():
    values = torch.randn(5, 6, requires_grad=True)
    llm = network()
    llm.layers[0].dropout = nn.Dropout(0.1)
    fused = kept_by(lambda: torch.native_dropout(values, 0.1, True))
    with counted_kernels(llm, None):
        assert kept_by(lambda: llm.layers[0].dropout(values)) == fused
        llm.eval()
        assert llm.layers[0].dropout(values) is values


def test_a_network_is_as_before_afterwards():
    llm = network().eval()
    ids = torch.arange(6)[None]
    before = llm(ids).last_hidden_state
    with counted_kernels(llm, "8bit"):
        assert llm.config._attn_implementation == COUNTED
        llm(ids)
    torch.testing.assert_close(llm(ids).last_hidden_state, before)


def test_a_4bit_product_keeps_nothing_and_an_8bit_product_its_input():
    llm = network()
    layer = llm.layers[0].mlp.up_proj
    values = torch.randn(3, 24, requires_grad=True)
    layer.requires_grad_(False)
    with counted_kernels(llm, "4bit"):
        assert kept_by(lambda: layer(values).sum().backward()) == [0]
    with counted_kernels(llm, "8bit"):
        found = kept_by(lambda: layer(values).sum().backward())
    assert found == [((3, 24), torch.float32), 3 * 24 * 4]


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
@pytest.mark.parametrize("shape", [(128, 96), (64, 30)])
def test_quantised_weights_weigh_what_bitsandbytes_holds(quantize, shape):
    bnb = pytest.importorskip("bitsandbytes", reason="needs the extra [quant]")
    plain = nn.Linear(*shape, bias=False, dtype=torch.bfloat16)
    if quantize == "4bit":
        layer = bnb.nn.Linear4bit(*shape, bias=False, quant_type="nf4", compress_statistics=False)
        layer.load_state_dict(plain.state_dict())
        layer.to("cpu")
        state = layer.weight.quant_state
        held = [layer.weight, state.absmax, state.code]
    else:
        layer = bnb.nn.Linear8bitLt(*shape, bias=False, has_fp16_weights=False)
        layer.load_state_dict(plain.state_dict())
        layer.to("cpu")
        held = [layer.weight, layer.weight.SCB]
    assert quantized_bytes(plain, quantize) == sum(tensor.nbytes for tensor in held)


def test_adapters_are_no_frozen_linears():
    llm = network()
    llm.layers[0].lora_A = nn.Linear(2, 3)
    assert len(frozen_linears(llm)) == 2 * 7
