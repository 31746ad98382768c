"""A layer with its adapter as one function: peft's outputs, gradients and draws, or peft's own."""

import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from fedvlm_flwr.models import lora_linear
from fedvlm_flwr.models.dropout import replace_dropout
from fedvlm_flwr.models.lora_linear import LoraLinear, replace_lora
from fedvlm_flwr.models.peft_layers import Linear
from tests.llm_tiny import tiny_decoder


def layer(bias=True, **settings):
    """A linear layer of 12 to 20 with an adapter that does something, in training, and peft's."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 20, bias=bias)).requires_grad_(False)
    settings = {"r": 3, "lora_alpha": 7, "lora_dropout": 0.3, "init_lora_weights": False} | settings
    inject_adapter_in_model(LoraConfig(target_modules=["0"], **settings), network)
    network.train()
    replace_dropout(network)
    theirs = copy.deepcopy(network)
    replace_lora(network)
    assert type(network[0]) is LoraLinear and type(theirs[0]) is Linear
    return network[0], theirs[0]


def trained(one, x):
    """Output, gradients of input and weights, and the next number that would be drawn."""
    torch.manual_seed(1)
    x = x.detach().requires_grad_(x.requires_grad)
    out = one(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    weights = {n: p.grad for n, p in one.named_parameters()}
    one.zero_grad()
    return out.detach(), x.grad, weights, torch.rand(())


def require_equal(ours, theirs):
    """Refuse what differs by more than rounding."""
    torch.testing.assert_close(ours[:3], theirs[:3], rtol=1e-5, atol=1e-5)
    assert ours[3] == theirs[3]


@pytest.fixture
def uses(monkeypatch):
    """How often a layer was one function."""
    calls = []
    whole = lora_linear._Adapted.apply
    monkeypatch.setattr(lora_linear._Adapted, "apply", lambda *a: calls.append(1) or whole(*a))
    return calls


@pytest.mark.parametrize("shape", [(5, 12), (4, 7, 12), (2, 3, 4, 12), (0, 12)])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_outputs_and_gradients_are_pefts(uses, shape, dropout):
    ours, theirs = layer(lora_dropout=dropout)
    x = torch.randn(shape, requires_grad=True)
    require_equal(trained(ours, x), trained(theirs, x))
    assert uses == [1]


@pytest.mark.parametrize(
    "settings", [{"bias": False}, {"use_rslora": True}, {"r": 1}, {"r": 20, "lora_dropout": 0.9}]
)
def test_of_any_adapter(uses, settings):
    ours, theirs = layer(**settings)
    x = torch.randn(6, 5, 12).transpose(0, 1).requires_grad_()
    require_equal(trained(ours, x), trained(theirs, x))
    assert uses == [1]


@pytest.mark.parametrize("frozen", ["lora_A", "lora_B", "both"])
@pytest.mark.parametrize("input_too", [True, False])
def test_of_what_is_frozen_there_is_no_gradient(uses, frozen, input_too):
    ours, theirs = layer()
    for one in (ours, theirs):
        for name, parameter in one.named_parameters():
            if "lora_" in name:
                parameter.requires_grad_(frozen != "both" and frozen not in name)
    x = torch.randn(6, 12, requires_grad=not input_too)
    if frozen == "both" and input_too:
        assert not ours(x).requires_grad
        return
    require_equal(trained(ours, x), trained(theirs, x))
    assert uses == [1]


@pytest.mark.parametrize("frozen", ["", "lora_A", "lora_B", "lora_"])
def test_for_what_is_frozen_nothing_is_kept(uses, frozen):
    """Numbers kept beside the weights until the backward pass: no more than peft's layer keeps."""
    kept = []
    for one in layer():
        for name, parameter in one.named_parameters():
            if frozen and frozen in name:
                parameter.requires_grad_(False)
        own, arrays = {p.data_ptr() for p in one.parameters()}, {}
        torch.manual_seed(1)
        x = torch.randn(1000, 12, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, arrays=arrays: arrays.setdefault(t.data_ptr(), t), lambda t: t
        ):
            out = one(x)
        kept.append(sum(t.nbytes for place, t in arrays.items() if place not in own))
        assert out.requires_grad
    ours, theirs = kept
    assert ours <= theirs
    assert uses == [1]


def in_bfloat16(one):
    one.base_layer.bfloat16()


def trained_base(one):
    one.base_layer.requires_grad_(True)


def heard(one):
    one.lora_A["default"].register_forward_hook(lambda *_: None)


def heard_backward(one):
    one.lora_B["default"].register_full_backward_hook(lambda *_: None)


def all_dropped(one):
    one.lora_dropout["default"].p = 1.0


def of_another_name(one):
    one._active_adapter = ["second"]


def merged(one):
    one.merge()


def disabled(one):
    one.enable_adapters(False)


def with_another(one):
    one.update_layer("second", 2, 4.0, config=LoraConfig(r=2, lora_alpha=4))
    one.set_adapter(["default", "second"])
    one.requires_grad_(False)


CHANGES = [in_bfloat16, trained_base, heard, heard_backward, all_dropped]
CHANGES += [of_another_name, merged, disabled, with_another, nn.Module.eval]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_usual_is_pefts_own(uses, change):
    ours, theirs = layer()
    for one in (ours, theirs):
        torch.manual_seed(2)
        change(one)
    x = torch.randn(6, 12).to(ours.base_layer.weight.dtype)
    with torch.no_grad():
        torch.manual_seed(1)
        out = ours(x)
        torch.manual_seed(1)
        assert out.equal(theirs(x))
    assert uses == []


def test_a_direction_and_a_length_are_pefts_own(uses):
    ours, theirs = layer(use_dora=True)
    x = torch.randn(6, 12, requires_grad=True)
    require_equal(trained(ours, x), trained(theirs, x))
    assert uses == []


def test_a_single_row_without_a_batch_is_pefts_own(uses):
    ours, theirs = layer()
    x = torch.randn(12, requires_grad=True)
    require_equal(trained(ours, x), trained(theirs, x))
    assert uses == []


def test_who_listens_to_all_modules_hears_each_of_the_layer(uses):
    ours, _ = layer()
    heard = []
    handle = nn.modules.module.register_module_forward_hook(lambda m, *_: heard.append(m))
    ours(torch.randn(6, 12))
    handle.remove()
    assert {ours.base_layer, ours.lora_A["default"], ours.lora_B["default"]} <= set(heard)
    assert uses == []


def test_lower_precision_is_pefts_own(uses):
    ours, theirs = layer(lora_dropout=0.0)
    x = torch.randn(6, 12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(x).equal(theirs(x))
    assert uses == []


def test_a_network_can_have_pefts_again():
    llm = tiny_decoder("llama")
    layers = [m for m in llm.modules() if isinstance(m, Linear)]
    assert {type(one) for one in layers} == {LoraLinear}
    replace_lora(llm, Linear)
    assert {type(one) for one in layers} == {Linear}
