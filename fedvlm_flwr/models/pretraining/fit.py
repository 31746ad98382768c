"""The short training loop of both pretraining phases."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from fedvlm_flwr.models.pretraining.recipe import Schedule


def fit(
    parameters: Iterable[nn.Parameter],
    step_loss: Callable[[], Tensor],
    schedule: Schedule,
    progress: Callable[[int, float], None],
) -> None:
    """Minimize what `step_loss` returns (a new batch at every call) over `parameters`.

    Args:
        parameters: of any shapes; on these alone the optimizer works.
        step_loss: a scalar with gradient.
        schedule: AdamW's numbers.
        progress: called after each step with the steps done and the last loss.
    """
    weights = list(parameters)
    optimizer = torch.optim.AdamW(
        weights, lr=schedule.lr, weight_decay=schedule.weight_decay, betas=(0.9, 0.98)
    )
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr * rate(step, schedule)
        loss = step_loss()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, schedule.max_grad_norm)
        optimizer.step()
        progress(step + 1, loss.item())


def rate(step: int, schedule: Schedule) -> float:
    """The learning rate's share of its peak: a linear rise, then half a cosine."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    progress = (step - schedule.warmup) / max(schedule.steps - schedule.warmup, 1)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
