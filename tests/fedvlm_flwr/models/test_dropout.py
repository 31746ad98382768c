"""Dropout by what is dropped: the distribution of torch's, its values and gradients, and draws."""

import math

import pytest
import torch
from torch import nn

from fedvlm_flwr.models.dropout import Dropout, draw_dropped, replace_dropout

PEFT = 0.05


def masks(p, count, times):
    """Which were dropped, [times, count]."""
    torch.manual_seed(0)
    found = torch.zeros(times, count)
    for row in found:
        row[draw_dropped(count, p)] = 1
    return found


@pytest.mark.parametrize("p", [0.01, PEFT, 0.5, 0.95])
def test_each_value_is_dropped_by_itself_with_the_probability(p):
    dropped = masks(p, 50, 4000)
    spread = 4.5 * math.sqrt(p * (1 - p) / len(dropped))  # 50 places: 1 in 3,000 seeds fails
    assert (dropped.mean(0) - p).abs().max() < spread
    both = torch.stack([(dropped[:, k:] * dropped[:, : 50 - k]).mean() for k in (1, 2, 7, 31)])
    assert (both - p * p).abs().max() < 6 * math.sqrt(p * p * (1 - p * p) / (19 * len(dropped)))
    total = dropped.sum(1)
    assert total.var() == pytest.approx(50 * p * (1 - p), rel=0.15)


@pytest.mark.parametrize(("count", "p"), [(0, PEFT), (1, PEFT), (1, 0.999), (7, 1e-300), (7, 1e-9)])
def test_few_values_and_small_probabilities(count, p):
    for seed in range(50):
        torch.manual_seed(seed)
        places = draw_dropped(count, p)
        assert places.dtype == torch.int64 and len(places) <= count
        assert set(places.tolist()) <= set(range(count))
        assert p > 1e-6 or len(places) == 0


def test_a_draw_that_was_too_short_goes_on(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "ceil_", lambda self: self.fmod_(2).floor_().add_(1))
    places = draw_dropped(1000, PEFT)  # the ways are of 1 or 2, twenty times shorter than expected
    assert int(places[-1]) >= 998
    assert set(places.diff().tolist()) == {1, 2}


def test_values_are_dropped_or_scaled_and_gradients_with_them():
    layer = Dropout(0.3)
    values = torch.rand(40, 30, dtype=torch.float64).add_(1).requires_grad_()
    out = layer(values)
    kept = out != 0
    assert 0.6 < float(kept.double().mean()) < 0.8
    torch.testing.assert_close(out[kept], values[kept] / 0.7)
    out.backward(torch.full_like(out, 7.0))
    assert values.grad.equal(kept * (7.0 * (1 / 0.7)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_layout_and_precision_with_the_same_draws_from_the_same_seed(dtype):
    values = torch.rand(8, 30, 20).add_(1).to(dtype)
    layer = Dropout(PEFT)
    outs = []
    for one in (values, values.transpose(0, 1).contiguous().transpose(0, 1)):
        torch.manual_seed(3)
        outs.append(layer(one))
        after = torch.rand(())
    assert outs[0].equal(outs[1]) and outs[0].dtype == dtype
    torch.manual_seed(3)
    draw_dropped(values.numel(), PEFT)
    assert torch.rand(()) == after


def test_a_gradient_that_is_spread_out_is_dropped_too():
    values = torch.ones(4, 50, requires_grad=True)
    out = Dropout(0.5)(values)
    out.sum().backward()  # every number of that gradient lies in one place
    assert values.grad.equal((out != 0) * 2.0)


@pytest.mark.parametrize("layer", [Dropout(0.5).eval(), Dropout(0.0), Dropout(1.0)])
def test_nothing_is_drawn_where_nothing_or_all_is_dropped(layer):
    values = torch.rand(5, 5)
    torch.manual_seed(0)
    expected = torch.rand(())
    torch.manual_seed(0)
    assert layer(values).equal(nn.Dropout.forward(layer, values))
    torch.manual_seed(0)
    layer(values)
    assert layer.p == 1 or torch.rand(()) == expected


def test_elsewhere_than_on_a_cpu_it_is_torchs():
    assert Dropout(0.5)(torch.empty(3, 4, device="meta")).device.type == "meta"


def test_a_network_has_it_in_the_place_of_torchs():
    network = nn.ModuleDict(
        {"a": nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3)), "b": nn.Identity()}
    )
    network["a"].eval()
    replace_dropout(network)
    own = network["a"][1]
    assert isinstance(own, Dropout) and own.p == 0.3 and not own.training
    replace_dropout(network)
    assert network["a"][1] is own


def test_one_that_has_two_names_is_replaced_under_both():
    network = nn.Module()
    network.first = network.second = nn.Dropout(0.3)
    replace_dropout(network)
    assert type(network.first) is type(network.second) is Dropout
