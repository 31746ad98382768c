"""Dropout on a CPU at a fifth of its cost, with the same draws on every processor.

Torch draws a number for each value on a CPU, one after the other, by another generator on Intel's
processors than on others. Adapters drop few values: here only the way from each dropped one to the
next is drawn, which is geometrically distributed where each is dropped by itself.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn


def draw_dropped(count: int, p: float) -> Tensor:
    """Which of `count` values are dropped, ascending [dropped], by torch's global generator.

    Args:
        p: the probability with which each is dropped, by itself; in (0, 1).
    """
    expected = count * p
    at_once = int(expected + 6 * math.sqrt(expected)) + 8  # hardly ever too few
    last, draws = -1.0, list[Tensor]()
    while last < count - 1:
        ways = torch.rand(at_once, dtype=torch.float64).log_().div_(math.log1p(-p)).ceil_()
        draws.append(ways.cumsum_(0).add_(last))
        last = float(draws[-1][-1])
    places = draws[0] if len(draws) == 1 else torch.cat([torch.empty(0), *draws])
    return places[: int(torch.searchsorted(places, count))].long()


class _Dropped(torch.autograd.Function):
    """Keeps which values were dropped, not a mask."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(places)
        ctx.scale = 1 / (1 - p)
        return _without(values, places, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return _without(gradients[0], places, ctx.scale), None, None


def _without(values: Tensor, places: Tensor, scale: float) -> Tensor:
    rest = values.contiguous() * scale
    rest.view(-1).index_fill_(0, places, 0)
    return rest


class Dropout(nn.Dropout):
    """Torch's dropout, by `draw_dropped` on a CPU."""

    def forward(self, values: Tensor) -> Tensor:
        """Set some of the values to 0 and scale the others, in training."""
        if values.device.type != "cpu" or not self.drops:
            return super().forward(values)
        places = draw_dropped(values.numel(), self.p)
        out: Tensor = _Dropped.apply(values, places, self.p)  # type: ignore[no-untyped-call]
        return out

    @property
    def drops(self) -> bool:
        """Whether some values are dropped and others not."""
        return self.training and 0 < self.p < 1


def replace_dropout(network: nn.Module, kind: type[nn.Dropout] = Dropout) -> None:
    """Have a network drop by this kind of dropout wherever it drops."""
    for module in list(network.modules()):
        for name, child in module._modules.items():  # one may have two names
            if isinstance(child, nn.Dropout) and type(child) is not kind:
                setattr(module, name, kind(child.p).train(child.training))
