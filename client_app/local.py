"""The local training loop."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor, nn

from client_app.oom import leaves_no_gradients
from fedvlm_flwr.config import Train
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.data.framing import frame_of, to_model_frame
from fedvlm_flwr.errors import DivergedError
from fedvlm_flwr.models.checkpointing import checkpointed
from fedvlm_flwr.models.parts import part_module
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.models.vlm import VLM, Encoded
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


def draw(
    num_examples: int, settings: Train, steps: int, order: np.random.Generator
) -> list[list[int]]:
    """The batches of a round, `accumulation` of them for each of its optimizer steps."""
    return list(islice(batches(num_examples, settings, order), steps * settings.accumulation))


def make_optimizer(
    settings: Train, parameters: Sequence[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """A fresh optimizer; its state does not outlive the round."""
    kind = torch.optim.SGD if settings.optimizer == "sgd" else torch.optim.AdamW
    return kind(parameters, lr=lr, weight_decay=settings.weight_decay, fused=True)


def seed_dropout(device: torch.device, seed: int) -> None:
    """Seed the global generator that a round's dropout draws from on this device.

    `torch.manual_seed` seeds every kind of device and formats the stack for each that is not there,
    most of a millisecond.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


@leaves_no_gradients
def train_locally(
    resident: Resident,
    parameters: Mapping[str, nn.Parameter],
    draws: Sequence[Sequence[Example]],
    settings: Train,
    lr: float,
    hook: ClientHook,
) -> LocalResult:
    """Run one round's optimizer steps on the trainable `parameters`, in place.

    Losses stay on the device until the last step, so that no step waits for it.

    Args:
        draws: the examples of each batch, `settings.accumulation` batches a step.
        lr: learning rate, constant inside the round; dropout draws from torch's global generator.

    Raises:
        DivergedError: a loss is not finite; says at which step.
    """
    vlm = resident.vlm
    encoded = encode_all(vlm, dict.fromkeys(chain.from_iterable(draws)))
    trained = list(parameters.values())
    optimizer = make_optimizer(settings, trained, lr)
    features = resident.features.ahead([p for one in batch for p in one.images] for batch in draws)
    losses: list[Tensor] = []
    steps = len(draws) // settings.accumulation
    if not vlm.module.training:  # a walk through all modules is a millisecond's work
        vlm.module.train()
    with checkpointed(part_module(vlm, "llm"), settings.gradient_checkpointing):
        for step in range(steps):
            optimizer.zero_grad(set_to_none=True)
            first = step * settings.accumulation
            for batch in draws[first : first + settings.accumulation]:
                pictures = next(features)
                with _precision(settings, vlm.device):
                    loss = vlm.loss(pictures, [encoded[one] for one in batch])
                if loss.requires_grad:  # without a picture it may not reach what is trained
                    (loss / settings.accumulation).backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
            hook.on_gradients(parameters)
            if settings.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
            hook.on_clipped(parameters)
            optimizer.step()
    values: list[float] = torch.stack(losses).tolist()
    require_finite(values, settings.accumulation)
    return LocalResult(float(np.mean(values)), steps, sum(map(len, draws)))


def encode_all(vlm: VLM, examples: Iterable[Example]) -> dict[Example, Encoded]:
    """Token ids of examples as the model sees their pictures."""
    encoded = {}
    for example in examples:
        one = to_model_frame(example, frame_of(example, vlm.frame))
        encoded[example] = vlm.encode(
            one.question,
            one.answer,
            one.history,
            cut_answer=one.cut_answer,
            pictures=len(one.images),
        )
    return encoded


def require_finite(losses: Sequence[float], accumulation: int) -> None:
    """Refuse a round that has diverged.

    Raises:
        DivergedError: says the first loss that is not finite, and its step.
    """
    for i, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise DivergedError(
                f"The loss is {loss} at local step {i // accumulation}; lower train.lr."
            )


def _precision(settings: Train, device: torch.device) -> contextlib.AbstractContextManager[object]:
    if settings.precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
