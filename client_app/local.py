"""The local training loop."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from client_app.oom import leaves_no_gradients
from fedvlm_flwr.config import Train
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.data.framing import frame_of, to_model_frame
from fedvlm_flwr.errors import DivergedError
from fedvlm_flwr.models.checkpointing import checkpointed
from fedvlm_flwr.models.parts import part_module
from fedvlm_flwr.models.resident import Resident
from strategies.core.client_hook import ClientHook


@dataclass(frozen=True)
class LocalResult:
    """What local training came to: mean loss over its batches, optimizer steps, examples seen."""

    loss: float
    steps: int
    examples_seen: int


def batches(num_examples: int, settings: Train, order: np.random.Generator) -> Iterator[list[int]]:
    """Endless index batches: each pass over the examples in a new order, the last batch short."""
    while True:
        shuffled = order.permutation(num_examples)
        for start in range(0, num_examples, settings.batch_size):
            yield shuffled[start : start + settings.batch_size].tolist()


def make_optimizer(
    settings: Train, parameters: Sequence[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """A fresh optimizer; its state does not outlive the round."""
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=lr, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=settings.weight_decay)


@leaves_no_gradients
def train_locally(  # noqa: PLR0913  # the round's ingredients, each from another place
    resident: Resident,
    parameters: Mapping[str, nn.Parameter],
    examples: Sequence[Example],
    settings: Train,
    steps: int,
    lr: float,
    order: np.random.Generator,
    hook: ClientHook,
) -> LocalResult:
    """Run one round's optimizer steps on the trainable `parameters`, in place.

    Args:
        steps: optimizer steps, see `steps_of`.
        lr: learning rate, constant inside the round.
        order: draws the order of the examples; dropout draws from torch's global generator.

    Raises:
        DivergedError: the loss is not finite; says at which step.
    """
    vlm = resident.vlm
    resident.features.encode([image for example in examples for image in example.images])
    inputs = [to_model_frame(example, frame_of(example, vlm.frame)) for example in examples]
    encoded = [
        vlm.encode(
            one.question,
            one.answer,
            one.history,
            cut_answer=one.cut_answer,
            pictures=len(one.images),
        )
        for one in inputs
    ]
    trained = list(parameters.values())
    optimizer = make_optimizer(settings, trained, lr)
    picks = batches(len(examples), settings, order)
    losses, examples_seen = [], 0
    vlm.module.train()
    with checkpointed(part_module(vlm, "llm"), settings.gradient_checkpointing):
        for step in range(steps):
            optimizer.zero_grad(set_to_none=True)
            for _ in range(settings.accumulation):
                pick = next(picks)
                features = resident.features([p for i in pick for p in examples[i].images])
                with _precision(settings, vlm.device):
                    loss = vlm.loss(features, [encoded[i] for i in pick])
                if loss.requires_grad:  # without a picture it may not reach what is trained
                    (loss / settings.accumulation).backward()  # type: ignore[no-untyped-call]
                losses.append(loss.item())
                examples_seen += len(pick)
            if not np.isfinite(losses[-1]):
                raise DivergedError(
                    f"The loss is {losses[-1]} at local step {step}; lower train.lr."
                )
            hook.on_gradients(parameters)
            if settings.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
            hook.on_clipped(parameters)
            optimizer.step()
    return LocalResult(float(np.mean(losses)), steps, examples_seen)


def _precision(settings: Train, device: torch.device) -> contextlib.AbstractContextManager[object]:
    if settings.precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
